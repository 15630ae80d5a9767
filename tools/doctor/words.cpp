// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/doctor/words.h"

#include <array>
#include <sstream>
#include <utility>

namespace cs::doctor {

namespace {

// "kernel/net/ipv4/esp4.ko: …", compressed or not.
bool has_module(const Machine& machine, const std::string& module) {
  const std::string release = machine.line("/proc/sys/kernel/osrelease");
  const auto listed =
      machine.head("/lib/modules/" + release + "/modules.dep", std::size_t{8} << 20U);
  return listed.ok() && ("/" + *listed).find("/" + module + ".ko") != std::string::npos;
}

bool forbids(const std::string& text, const std::string& module) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string verb;
    std::string name;
    words >> verb >> name;
    if ((verb == "blacklist" || verb == "install") && name == module) return true;
  }
  return false;
}

// The file that keeps it from being loaded; empty: none.
std::string forbidding_file(const Machine& machine, const std::string& module) {
  for (const std::string directory : {"/etc/modprobe.d/", "/run/modprobe.d/", "/lib/modprobe.d/"}) {
    for (const std::string& name : machine.list(directory)) {
      const auto text = machine.head(directory + name);
      if (name.ends_with(".conf") && text.ok() && forbids(*text, module)) return directory + name;
    }
  }
  return {};
}

}  // namespace

std::string shell_word(std::string_view word) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:=@%+,";
  if (!word.empty() && word.find_first_not_of(plain) == std::string_view::npos) {
    return std::string(word);
  }
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

Finding unchecked(const Error& error) {
  const bool denied = error.kind() == ErrorKind::denied;
  return {Verdict::unchecked, error.message(), {}, denied ? "ask again as root" : ""};
}

Finding refused(const Error& error, std::string command, std::string advice) {
  if (error.kind() == ErrorKind::denied) return unchecked(error);
  return {Verdict::bad, error.message(), std::move(command), std::move(advice)};
}

ModuleCure module_cure(const Machine& machine, const std::string& module, std::string_view option) {
  if (!has_module(machine, module)) {
    return {{}, {}, "boot a kernel with " + std::string(option) + ", as Debian's"};
  }
  const std::string file = forbidding_file(machine, module);
  if (file.empty()) return {{}, "modprobe " + module, {}};
  return {"module " + module + " is kept from loading by " + file,
          "sed -i -E '/^ *(blacklist|install) +" + module + "( |$)/d' " + shell_word(file) +
              "; modprobe " + module,
          {}};
}

Finding without_module(const Machine& machine, std::string reason, const std::string& module,
                       std::string_view option) {
  ModuleCure cure = module_cure(machine, module, option);
  if (!cure.reason.empty()) reason += "; " + cure.reason;
  return {Verdict::bad, std::move(reason), std::move(cure.command), std::move(cure.advice)};
}

}  // namespace cs::doctor
