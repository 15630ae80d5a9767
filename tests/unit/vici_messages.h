// SPDX-License-Identifier: GPL-3.0-or-later
// VICI messages, put together element by element.
#pragma once

#include <string>
#include <vector>

namespace cs::test {

inline std::string short_text(char type, const std::string& text) {
  return std::string(1, type) + static_cast<char>(text.size()) + text;
}
inline std::string long_text(const std::string& text) {
  return std::string(1, '\0') + static_cast<char>(text.size()) + text;  // below 256 bytes
}

inline std::string section(const std::string& name) {
  return short_text(1, name);
}
inline std::string end() {
  return "\x02";
}
inline std::string value(const std::string& name, const std::string& text) {
  return short_text(3, name) + long_text(text);
}
inline std::string list(const std::string& name) {
  return short_text(4, name);
}
inline std::string item(const std::string& text) {
  return "\x05" + long_text(text);
}
inline std::string list_end() {
  return "\x06";
}

// An IKE SA and its children, each given by its values.
inline std::string list_sa(const std::string& name, const std::string& local,
                           const std::string& remote, const std::vector<std::string>& children) {
  std::string message = section(name) + value("state", "ESTABLISHED") + value("local-host", local) +
                        value("remote-host", remote) + section("child-sas");
  for (const std::string& child : children) message += section("child-1") + child + end();
  return message + end() + end();
}

}  // namespace cs::test
