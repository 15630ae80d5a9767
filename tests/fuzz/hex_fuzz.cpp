// SPDX-License-Identifier: GPL-3.0-or-later
// What hex_decode accepts is, but for the case of its letters, what hex_encode makes of the result.
#include <algorithm>
#include <string>

#include "base/hex.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t max = data[0];
  const std::string text(data + 1, data + size);
  const auto bytes = cs::hex_decode(text, max);
  if (!bytes.ok()) {
    const bool digits = text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    cs::fuzz::expect(!digits || text.size() % 2 != 0 || text.size() / 2 > max,
                     "refused: good text");
    return 0;
  }
  cs::fuzz::expect(bytes->size() <= max, "more bytes than allowed");
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  cs::fuzz::expect(cs::hex_encode(*bytes) == lower, "not the text it was read from");
  return 0;
}
