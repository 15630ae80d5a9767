// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/doctor/machine.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "tpm/small_file.h"

namespace cs::doctor {

bool Machine::has(std::string_view name) const {
  return access(path(name).c_str(), F_OK) == 0;
}

Result<std::string> Machine::head(std::string_view name, std::size_t most) const {
  CS_TRY(const UniqueFd file, tpm::open_regular_file(path(name)));
  std::array<char, 16384> part{};
  std::string text;
  while (text.size() < most) {
    const ssize_t got = ::read(file.get(), part.data(), std::min(part.size(), most - text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno(errno, "reading " + path(name));
    if (got == 0) break;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return text;
}

std::string Machine::line(std::string_view name) const {
  constexpr std::size_t most = 4096;
  const auto text = head(name, most);
  return text.ok() ? text->substr(0, text->find('\n')) : std::string();
}

std::vector<std::string> Machine::list(std::string_view directory) const {
  std::vector<std::string> names;
  std::error_code failed;
  std::filesystem::directory_iterator entry(path(directory), failed);
  while (!failed && entry != std::filesystem::directory_iterator()) {
    names.push_back(entry->path().filename());
    entry.increment(failed);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace cs::doctor
