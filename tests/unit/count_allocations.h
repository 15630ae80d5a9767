// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>

namespace cs::test {

// How often this program has asked `new` for memory; a test program that links
// count_allocations.cpp has its global operators replaced. malloc stays, so sanitizers still see
// every block.
[[nodiscard]] std::size_t allocations() noexcept;

}  // namespace cs::test
