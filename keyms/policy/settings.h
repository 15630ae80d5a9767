// SPDX-License-Identifier: GPL-3.0-or-later
// strongSwan's settings, as in swanctl.conf: sections in braces, key = value, comments, quotes.
// Not read: `include`, and sections that refer to others (`name : other`), which are refused.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cs::keyms {

struct Settings {
  struct Value {
    std::string text;
    unsigned line = 0;
  };
  std::map<std::string, Value, std::less<>> values;       // of a key that is there twice the last
  std::map<std::string, Settings, std::less<>> sections;  // one that is there twice is continued
  unsigned line = 0;

  // Nothing where it is not there.
  [[nodiscard]] const Value* value(std::string_view key) const;
  [[nodiscard]] const Settings* section(std::string_view key) const;
};

inline constexpr std::size_t max_settings = std::size_t{1024} * 1024;
inline constexpr std::size_t max_settings_depth = 16;

// `file` is for errors: "swanctl.conf:12: …".
Result<Settings> parse_settings(std::string_view text, const std::string& file);

}  // namespace cs::keyms
