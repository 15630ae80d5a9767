// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace cs {

// Whether both hold the same bytes, in a time that depends on their length only, so that a forger
// does not learn how far a guess was right. The lengths themselves are public. Two empty spans are
// equal: that a tag is there at all is for the parser to require.
[[nodiscard]] inline bool constant_time_equal(ByteView a, ByteView b) noexcept {
  if (a.size() != b.size()) return false;
  std::uint32_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<std::uint32_t>(a[i] ^ b[i]);
    // Hides the value from the optimiser, which could otherwise leave the loop at the first
    // difference, or make a memcmp of it.
    asm volatile("" : "+r"(difference));
  }
  return difference == 0;
}

}  // namespace cs
