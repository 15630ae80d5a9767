// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/keymsd/daemon.h"

#include <ostream>

#include "base/printable.h"
#include "keyms/daemon/control.h"
#include "tools/policy/load.h"

namespace cs::keymsd {

Result<Json> Daemon::ask(const std::string& verb, const Json& arguments,
                         std::chrono::seconds within) {
  away_ = true;
  auto asked = keyms::ask_daemon(socket_, verb, arguments, within, &refused_);
  if (refused_) away_ = false;
  CS_TRY(Json answer, std::move(asked));
  if (answer.is_object()) {
    away_ = false;
    return answer;
  }
  return Error(ErrorKind::unsupported, "keymsd's answer is no JSON object")
      .with_hint("install countersign and keymsd of the same release");
}

Outcome fail(const Error& error, const Daemon& daemon, const Console& console, bool json) {
  const bool refused = daemon.has_refused() || (!daemon.is_away() && policy::is_of_content(error));
  return inspect::fail(error, refused ? Outcome::refused : Outcome::unreadable, json, console.out,
                       console.err);
}

void print(const Json& answer, const Console& console) {
  Json report = answer;
  report["schema_version"] = inspect::schema_version;
  report["complete"] = true;
  console.out << report.dump(2, ' ', true, Json::error_handler_t::replace) << "\n";
}

namespace {

const Json& member(const Json& of, const char* name) {
  static const Json nothing;
  const auto found = of.is_object() ? of.find(name) : of.end();
  return found == of.end() ? nothing : *found;
}

}  // namespace

std::string text(const Json& of, const char* name) {
  const Json& found = member(of, name);
  return found.is_string() ? printable(found.get<std::string>()) : std::string();
}

std::uint64_t number(const Json& of, const char* name) {
  const Json& found = member(of, name);
  return found.is_number_unsigned() ? found.get<std::uint64_t>() : 0;
}

bool flag(const Json& of, const char* name) {
  const Json& found = member(of, name);
  return found.is_boolean() && found.get<bool>();
}

const Json& list(const Json& of, const char* name) {
  static const Json nothing = Json::array();
  const Json& found = member(of, name);
  return found.is_array() ? found : nothing;
}

const Json& part(const Json& of, const char* name) {
  static const Json nothing = Json::object();
  const Json& found = member(of, name);
  return found.is_object() ? found : nothing;
}

std::vector<std::string> sentences(const Json& of, const char* name) {
  std::vector<std::string> out;
  for (const Json& one : list(of, name)) {
    if (one.is_string()) out.push_back(printable(one.get<std::string>()));
  }
  return out;
}

Outcome put(const Question& question, Daemon& daemon, const Console& console, bool json) {
  const auto answer = daemon.ask(question.verb, question.arguments, question.within);
  if (!answer.ok()) return fail(answer.error(), daemon, console, json);
  if (json) {
    print(*answer, console);
  } else if (question.tell) {
    question.tell(*answer, console.out);
  }
  return !question.is_good || question.is_good(*answer) ? Outcome::good : Outcome::refused;
}

}  // namespace cs::keymsd
