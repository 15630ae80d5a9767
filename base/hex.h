// SPDX-License-Identifier: GPL-3.0-or-later
// Hexadecimal text for digests, identifiers and keys that are public. Not for secrets: what it
// returns is not wiped, and its time depends on the digits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs {

namespace detail {

constexpr int hex_value(char digit) noexcept {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

inline Error not_hex(std::string_view text, std::size_t offset) {
  return {ErrorKind::invalid, "hex text: '" + std::string(1, text[offset]) + "' at offset " +
                                  std::to_string(offset) + " is no hex digit"};
}

}  // namespace detail

// Two lower-case digits a byte, nothing between them.
[[nodiscard]] inline std::string hex_encode(ByteView bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += digits[byte >> 4U];
    text += digits[byte & 0xfU];
  }
  return text;
}

// Strict: digits only, no prefix, no space, and an even number of them. Both cases are read, since
// tpm2-tools print PCR values in upper case. Refused: an odd length and a wrong character
// (invalid, with its offset), and more than max_bytes bytes (limit, before anything is allocated).
[[nodiscard]] inline Result<std::vector<std::uint8_t>> hex_decode(std::string_view text,
                                                                  std::size_t max_bytes) {
  if (text.size() / 2 > max_bytes) {
    return Error(ErrorKind::limit, "hex text: " + std::to_string(text.size()) +
                                       " digits, at most " + std::to_string(max_bytes) +
                                       " bytes are allowed here");
  }
  if (text.size() % 2 != 0) {
    return Error(ErrorKind::invalid, "hex text: an odd number of digits, " +
                                         std::to_string(text.size()) + "; a byte needs two");
  }
  std::vector<std::uint8_t> bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = detail::hex_value(text[i]);
    const int low = detail::hex_value(text[i + 1]);
    if (high < 0) return detail::not_hex(text, i);
    if (low < 0) return detail::not_hex(text, i + 1);
    bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return bytes;
}

}  // namespace cs
