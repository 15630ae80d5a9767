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

TEST(Admission, WhenFullASilentOneMakesRoom) {
  Admission admission(1);
  constexpr std::uint32_t first_silent = Admission::most - 10;
  for (std::uint32_t id = 0; id < Admission::most; ++id) {
    admission.admit(id, stranger(id), false);
    if (id < first_silent) admission.spoke(id);
  }
  for (std::uint32_t id = Admission::most; id < Admission::most + 1000; ++id) {
    const auto verdict = admission.admit(id, stranger(id), false);
    ASSERT_TRUE(verdict.crowded_out);
    EXPECT_GE(*verdict.crowded_out, first_silent) << "one that has begun TLS";
    EXPECT_EQ(admission.size(), Admission::most);
  }
}

TEST(Admission, WhenAllSpeakARandomOneMakesRoom) {
  Admission admission(7);
  std::uint32_t id = 0;
  for (; id < Admission::most; ++id) {
    admission.admit(id, stranger(id), false);
    admission.spoke(id);
  }
  std::map<std::uint32_t, int> gone;
  for (; id < Admission::most + 1000; ++id) {
    const auto verdict = admission.admit(id, stranger(id), false);
    ASSERT_TRUE(verdict.crowded_out);
    EXPECT_EQ(++gone[*verdict.crowded_out], 1);
    admission.spoke(id);
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
