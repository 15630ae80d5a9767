// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/admission.h"

#include <gtest/gtest.h>

#include "tests/support/unwrap.h"

namespace cs::keyms::carrier {
namespace {

net::Address address(const std::string& text) {
  return test::get(net::Address::parse(text));
}
net::Address stranger(std::uint32_t number) {
  return address("10." + std::to_string(number >> 16U & 255U) + "." +
                 std::to_string(number >> 8U & 255U) + "." + std::to_string(number & 255U));
}

TEST(Admission, AnAddressHasFewSlotsAndGetsThemBack) {
  Admission admission(1);
  for (std::uint32_t id = 0; id < Admission::most_of_source; ++id)
    EXPECT_FALSE(admission.admit(id, stranger(1), false).refused);
  EXPECT_EQ(admission.admit(100, stranger(1), false).refused, Refusal::source_limit);
  EXPECT_FALSE(admission.admit(101, stranger(2), false).refused);
  admission.forget(3);
  admission.forget(3);
  EXPECT_FALSE(admission.admit(102, stranger(1), false).refused);
}

TEST(Admission, AHostOfIpv6HasAWholeNetwork) {
  Admission admission(1);
  for (std::uint32_t id = 0; id < Admission::most_of_source; ++id) {
    EXPECT_FALSE(
        admission.admit(id, address("2001:db8::" + std::to_string(id + 1)), false).refused);
  }
  EXPECT_TRUE(admission.admit(100, address("2001:db8::ffff:1"), false).refused);
  EXPECT_FALSE(admission.admit(100, address("2001:db8:0:1::1"), false).refused);
}

constexpr std::uint32_t half = Admission::most_of_half;

// Strangers from `first` on, who begin TLS at once.
void fill_with_speakers(Admission& admission, std::uint32_t first) {
  for (std::uint32_t id = first; id < first + half; ++id) {
    EXPECT_FALSE(admission.admit(id, stranger(id), false).crowded_out);
    EXPECT_FALSE(admission.spoke(id));
  }
}

TEST(Admission, WhoSaysNothingCrowdsOutOnlyWhoSaysNothing) {
  Admission admission(1);
  fill_with_speakers(admission, 0);
  for (std::uint32_t id = half; id < 2 * half; ++id)
    EXPECT_FALSE(admission.admit(id, stranger(id), false).crowded_out);
  for (std::uint32_t id = 2 * half; id < 2 * half + 1000; ++id) {
    const auto verdict = admission.admit(id, stranger(id), false);
    ASSERT_TRUE(verdict.crowded_out);
    EXPECT_GE(*verdict.crowded_out, half) << "one that has begun TLS";
    EXPECT_EQ(admission.size(), Admission::most);
  }
}

// Its first words need their time on the way, and those of the others were there at once.
TEST(Admission, WhoBeginsTlsDoesNotCrowdOutWhoJustCame) {
  Admission admission(1);
  fill_with_speakers(admission, 0);
  EXPECT_FALSE(admission.admit(half, stranger(half), false).crowded_out);
  for (std::uint32_t id = half + 1; id < half + 1000; ++id) {
    EXPECT_FALSE(admission.admit(id, stranger(id), false).crowded_out);
    const auto crowded_out = admission.spoke(id);
    ASSERT_TRUE(crowded_out);
    EXPECT_NE(*crowded_out, half);
    EXPECT_NE(*crowded_out, id);
    EXPECT_EQ(admission.size(), half + 1);
  }
}

// Neither the oldest nor the youngest: of as many as there are places for, a third is still there
// when as many others have come.
TEST(Admission, ARandomOneMakesRoom) {
  for (const bool speaks : {false, true}) {
    Admission admission(7);
    const auto come = [&](std::uint32_t id) {
      const auto crowded_out = admission.admit(id, stranger(id), false).crowded_out;
      return speaks ? admission.spoke(id) : crowded_out;
    };
    std::uint32_t id = 0;
    while (id < half) EXPECT_FALSE(come(id++));
    std::uint32_t left = half;
    while (id < 2 * half) {
      const auto crowded_out = come(id++);
      ASSERT_TRUE(crowded_out);
      if (*crowded_out < half) --left;
    }
    EXPECT_GT(left, half / 4);
    EXPECT_LT(left, half / 2);
  }
}

TEST(Admission, NobodyCrowdsOutAPinnedAddress) {
  Admission admission(1);
  const net::Address peer = address("192.0.2.1");
  EXPECT_FALSE(admission.admit(0, peer, true).refused);
  for (std::uint32_t id = 1; id < 5000; ++id) {
    const auto verdict = admission.admit(id, stranger(id), false);
    EXPECT_NE(verdict.crowded_out, 0U);
  }
  for (std::uint32_t id = 0; id < Admission::most_of_pinned - 1; ++id)
    EXPECT_FALSE(admission.admit(10'000 + id, peer, true).refused);
  EXPECT_EQ(admission.admit(20'000, peer, true).refused, Refusal::source_limit);
}

}  // namespace
}  // namespace cs::keyms::carrier
