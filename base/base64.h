// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes as text in JSON: base64 of RFC 4648, section 4, with padding. Not for secrets: nothing is
// wiped, and its time depends on the text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs {

namespace detail {

inline constexpr std::string_view base64_digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace detail

[[nodiscard]] inline std::string base64_encode(ByteView bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t here = std::min<std::size_t>(bytes.size() - i, 3);
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k) three = three << 8U | (k < here ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      text += k <= here ? detail::base64_digits[three >> (18 - 6 * k) & 63U] : '=';
  }
  return text;
}

// Of bytes there is one text, and no other is read: no space, all the padding, no bit left over.
// Refused, too: more than max_bytes bytes (limit, before anything is allocated).
[[nodiscard]] inline Result<std::vector<std::uint8_t>> base64_decode(std::string_view text,
                                                                     std::size_t max_bytes) {
  if (text.size() / 4 > max_bytes / 3 + 1) {
    return Error(ErrorKind::limit, "base64 text: " + std::to_string(text.size()) +
                                       " characters, at most " + std::to_string(max_bytes) +
                                       " bytes are allowed here");
  }
  const std::string_view digits = text.substr(0, text.find_last_not_of('=') + 1);
  std::vector<std::uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  std::size_t count = 0;
  for (const char digit : digits) {
    const std::size_t value = detail::base64_digits.find(digit);
    if (value == std::string_view::npos)
      return Error(ErrorKind::invalid, "base64 text with a character that is none of its digits");
    bits = bits << 6U | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<std::uint8_t>(bits >> count));
    bits &= (1U << count) - 1;
  }
  if (text.size() % 4 != 0 || text.size() - digits.size() > 2 || count >= 6 || bits != 0)
    return Error(ErrorKind::invalid, "base64 text that is cut off, or not as it is written");
  if (bytes.size() > max_bytes) {
    return Error(ErrorKind::limit, "base64 text of " + std::to_string(bytes.size()) +
                                       " bytes, at most " + std::to_string(max_bytes) +
                                       " are allowed here");
  }
  return bytes;
}

}  // namespace cs
