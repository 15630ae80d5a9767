// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as what the store says before it is unlocked: what is accepted is what we would have
// written.
#include <algorithm>

#include "keyms/store/byte_list.h"
#include "keyms/store/clear.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using cs::fuzz::expect;
  const cs::ByteView bytes(data, size);
  if (const auto clear = cs::keyms::Clear::decode(bytes); clear.ok()) {
    const auto again = clear->encode();
    expect(again.ok() && std::ranges::equal(*again, bytes), "a clear part is written otherwise");
  }
  if (const auto list = cs::keyms::decode_list(bytes, "a list"); list.ok()) {
    const auto again = cs::keyms::encode_list(*list, "a list");
    expect(again.ok() && std::ranges::equal(*again, bytes), "a list is written otherwise");
  }
  return 0;
}
