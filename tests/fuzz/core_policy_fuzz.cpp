// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a core policy: refused, or the one encoding of what was read.
#include <algorithm>

#include "keyms/policy/encode.h"
#include "tests/fuzz/fuzz.h"

using cs::fuzz::expect;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  const auto policy = cs::keyms::decode_policy(bytes);
  if (!policy.ok()) {
    expect(!policy.error().message().empty(), "refused without words");
    return 0;
  }
  const auto again = cs::keyms::encode(*policy);
  expect(again.ok() && std::ranges::equal(*again, bytes), "a second encoding of one policy");
  return 0;
}
