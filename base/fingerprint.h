// SPDX-License-Identifier: GPL-3.0-or-later
// A hash as a text that people read aloud, compare and type: eight groups of six digits, as in
// "012345 …". Digits are known in every language and on every keyboard, and need no
// list of words that both sides have.
//
// Each group is two bytes of the hash as 00000 to 65535, and a check digit (Damm's) over its place
// and these: one wrong digit, two neighbours swapped and two groups swapped are seen, and in which
// group. The text stands for the first 128 bits: as much as an attacker would need to meet who has
// to make a second key or policy for a given text. Who makes both may do with 2^64 attempts;
// programs therefore compare whole hashes, and only people this.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs {

inline constexpr std::size_t fingerprint_size = 16;
using Fingerprint = std::array<std::uint8_t, fingerprint_size>;

namespace detail {

inline constexpr std::size_t fingerprint_groups = fingerprint_size / 2;
inline constexpr std::size_t fingerprint_digits = 6;

// H. M. Damm's quasigroup of order 10: 0 from the check digit on means no error.
inline unsigned damm(unsigned before, unsigned digit) {
  constexpr std::array<std::string_view, 10> rows{
      "0317598642", "7092154863", "4206871359", "1750983426", "6123045978",
      "3674209581", "5869720134", "8945362017", "9438617205", "2581436790"};
  return static_cast<unsigned>(rows.at(before).at(digit) - '0');
}

inline unsigned damm(std::size_t place, std::string_view digits) {
  unsigned state = damm(0, static_cast<unsigned>(place));
  for (const char digit : digits) state = damm(state, static_cast<unsigned>(digit - '0'));
  return state;
}

inline Error mistyped(std::size_t group, std::string_view text, const std::string& why) {
  return Error(ErrorKind::invalid, "group " + std::to_string(group + 1) + " of the fingerprint, '" +
                                       std::string(text.substr(0, 16)) + "', " + why)
      .with_hint("have that group read aloud again");
}

inline std::vector<std::string_view> fingerprint_parts(std::string_view text) {
  constexpr std::string_view between = " \t\r\n-.";
  std::vector<std::string_view> parts;
  while (parts.size() <= fingerprint_groups) {
    const std::size_t begin = text.find_first_not_of(between);
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const std::size_t size = std::min(text.find_first_of(between), text.size());
    parts.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  // Typed in one go.
  if (parts.size() == 1 && parts[0].size() == fingerprint_groups * fingerprint_digits) {
    const std::string_view all = parts[0];
    parts.clear();
    for (std::size_t i = 0; i < fingerprint_groups; ++i) {
      parts.push_back(all.substr(i * fingerprint_digits, fingerprint_digits));
    }
  }
  return parts;
}

}  // namespace detail

// Of a hash of at least 16 bytes; what is behind them is not told.
[[nodiscard]] inline std::string fingerprint_text(ByteView hash) {
  std::string text;
  for (std::size_t i = 0; i < detail::fingerprint_groups; ++i) {
    const unsigned value = (unsigned{hash[2 * i]} << 8U) | hash[2 * i + 1];
    const std::string number = std::to_string(value);
    const std::string digits =
        std::string(detail::fingerprint_digits - 1 - number.size(), '0') + number;
    text += (i == 0 ? "" : " ") + digits + std::to_string(detail::damm(i + 1, digits));
  }
  return text;
}

// Spaces, line ends, '-' and '.' between the groups, or nothing at all. Refused, with the group:
// what cannot have been meant.
[[nodiscard]] inline Result<Fingerprint> parse_fingerprint(std::string_view text) {
  const auto parts = detail::fingerprint_parts(text);
  Fingerprint out{};
  for (std::size_t i = 0; i < parts.size() && i < detail::fingerprint_groups; ++i) {
    const std::string_view part = parts[i];
    if (part.find_first_not_of("0123456789") != std::string_view::npos) {
      return detail::mistyped(i, part, "has something in it that is no digit");
    }
    if (part.size() != detail::fingerprint_digits) {
      return detail::mistyped(i, part, "has " + std::to_string(part.size()) + " digits, not 6");
    }
    unsigned value = 0;
    for (const char digit : part.substr(0, part.size() - 1)) {
      value = value * 10 + static_cast<unsigned>(digit - '0');
    }
    if (detail::damm(i + 1, part) != 0 || value > 0xffff) {
      return detail::mistyped(i, part, "is mistyped, or not in its place");
    }
    out.at(2 * i) = static_cast<std::uint8_t>(value >> 8U);
    out.at(2 * i + 1) = static_cast<std::uint8_t>(value & 0xffU);
  }
  if (parts.size() != detail::fingerprint_groups) {
    return Error(ErrorKind::invalid, parts.size() > detail::fingerprint_groups
                                         ? "the fingerprint has more than 8 groups"
                                         : "the fingerprint has " + std::to_string(parts.size()) +
                                               " groups of digits, not 8");
  }
  return out;
}

// Whether the text that was read aloud is this hash's.
[[nodiscard]] inline bool is_fingerprint_of(const Fingerprint& fingerprint, ByteView hash) {
  return hash.size() >= fingerprint.size() &&
         std::equal(fingerprint.begin(), fingerprint.end(), hash.begin());
}

}  // namespace cs
