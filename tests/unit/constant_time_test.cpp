// SPDX-License-Identifier: GPL-3.0-or-later
// What it answers. That its time does not depend on the bytes is for the assembler to show: the
// loop has no exit but its end (objdump -d).
#include "base/constant_time.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "tests/unit/exact_buffer.h"

namespace cs {
namespace {

using test::ExactBuffer;

ExactBuffer counted(std::size_t size) {
  ExactBuffer buffer(size);
  for (std::size_t i = 0; i < size; ++i) buffer.bytes()[i] = static_cast<std::uint8_t>(i + 1);
  return buffer;
}

TEST(ConstantTimeEqual, IsEqualForTheSameBytes) {
  for (std::size_t size = 0; size <= 70; ++size) {
    EXPECT_TRUE(constant_time_equal(counted(size).view(), counted(size).view())) << size;
  }
}

TEST(ConstantTimeEqual, SeesEverySingleBit) {
  const ExactBuffer original = counted(33);
  for (std::size_t bit = 0; bit < original.view().size() * 8; ++bit) {
    ExactBuffer changed = counted(33);
    changed.bytes()[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    EXPECT_FALSE(constant_time_equal(original.view(), changed.view())) << bit;
  }
}

TEST(ConstantTimeEqual, TakesNoPrefixForTheWhole) {
  const ExactBuffer whole = counted(16);
  for (std::size_t size = 0; size < 16; ++size) {
    const ExactBuffer prefix = counted(size);
    EXPECT_FALSE(constant_time_equal(whole.view(), prefix.view())) << size;
    EXPECT_FALSE(constant_time_equal(prefix.view(), whole.view())) << size;
  }
}

}  // namespace
}  // namespace cs
