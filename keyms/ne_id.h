// SPDX-License-Identifier: GPL-3.0-or-later
// What a gateway is called: its network id, NeID.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace cs::keyms {

inline constexpr std::size_t max_ne_id = 16;  // as the gate names its peers

// A lower-case letter, then lower-case letters, digits and '-'.
[[nodiscard]] constexpr bool is_ne_id(std::string_view text) noexcept {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto may_follow = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-';
  };
  return !text.empty() && text.size() <= max_ne_id && is_letter(text.front()) &&
         std::all_of(text.begin(), text.end(), may_follow);
}

}  // namespace cs::keyms
