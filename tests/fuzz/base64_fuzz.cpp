// SPDX-License-Identifier: GPL-3.0-or-later
// What base64_decode accepts is what base64_encode makes of the result.
#include "base/base64.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t max = data[0];
  const std::string text(data + 1, data + size);
  const auto bytes = cs::base64_decode(text, max);
  if (!bytes.ok()) return 0;
  cs::fuzz::expect(bytes->size() <= max, "more bytes than allowed");
  cs::fuzz::expect(cs::base64_encode(*bytes) == text, "not the text it was read from");
  return 0;
}
