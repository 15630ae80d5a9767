// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/agreement/precedence.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/unit/agreement_samples.h"

namespace cs::xfrm {
namespace {

using test::get;

Policy policy(std::string_view source, std::string_view destination) {
  Policy out;
  out.direction = Direction::out;
  out.selector.source = get(Prefix::parse(source));
  out.selector.destination = get(Prefix::parse(destination));
  return out;
}

TEST(Precedence, OverlapLooksAtAllTheKernelDoes) {
  const Policy wide = policy("10.0.0.0/8", "0.0.0.0/0");
  const Policy one = policy("10.1.0.0/16", "10.2.3.4/32");
  EXPECT_TRUE(overlap(wide, one) && overlap(one, wide));
  EXPECT_TRUE(covers(wide, one));
  EXPECT_FALSE(covers(one, wide));
  const auto both = [&](auto change_wide, auto change_one) {
    Policy a = wide;
    Policy b = one;
    change_wide(a);
    change_one(b);
    EXPECT_EQ(overlap(a, b), overlap(b, a));
    return std::pair(overlap(a, b), covers(a, b));
  };
  const auto as_is = [](Policy&) {};
  const std::pair disjoint{false, false};
  const std::pair part{true, false};
  const std::pair whole{true, true};
  EXPECT_EQ(both([](auto& p) { p.direction = Direction::in; }, as_is), disjoint);
  EXPECT_EQ(both([](auto& p) { p.interface_id = 1; }, as_is), disjoint);
  EXPECT_EQ(both([](auto& p) { p.selector.protocol = 6; }, as_is), part);
  EXPECT_EQ(
      both([](auto& p) { p.selector.protocol = 6; }, [](auto& p) { p.selector.protocol = 17; }),
      disjoint);
  EXPECT_EQ(both(as_is, [](auto& p) { p.selector.protocol = 17; }), whole);
  EXPECT_EQ(both([](auto& p) { p.selector.interface = 2; }, as_is), part);
  EXPECT_EQ(both([](auto& p) { p.selector.user = 2; }, as_is), whole);
  EXPECT_EQ(both([](auto& p) { p.security_context = "x"; }, as_is), part);
  EXPECT_EQ(both([](auto& p) { p.mark = {1, 1}; }, as_is), part);
  EXPECT_EQ(both([](auto& p) { p.mark = {1, 3}; }, [](auto& p) { p.mark = {2, 3}; }), disjoint);
  EXPECT_EQ(both([](auto& p) { p.mark = {1, 1}; }, [](auto& p) { p.mark = {3, 3}; }), whole);
  EXPECT_EQ(both([](auto& p) { p.mark = {3, 1}; }, as_is), disjoint);
  for (const auto ports : {&Selector::source_ports, &Selector::destination_ports}) {
    EXPECT_EQ(both([&](auto& p) { p.selector.*ports = {80, 0xffff}; }, as_is), part);
    EXPECT_EQ(both(
                  [&](auto& p) {
                    p.selector.*ports = {0x4000, 0xc000};
                  },
                  [&](auto& p) {
                    p.selector.*ports = {0x4001, 0xffff};
                  }),
              whole);
    EXPECT_EQ(both(
                  [&](auto& p) {
                    p.selector.*ports = {80, 0xffff};
                  },
                  [&](auto& p) {
                    p.selector.*ports = {81, 0xffff};
                  }),
              disjoint);
  }
}

TEST(Precedence, TheLowestPriorityGoesFirst) {
  std::vector<Policy> policies{policy("10.0.0.0/8", "0.0.0.0/0"), policy("10.0.0.0/8", "0.0.0.0/0"),
                               policy("10.0.0.0/8", "0.0.0.0/0"),
                               policy("10.0.0.0/8", "0.0.0.0/0")};
  policies[0].priority = 5;
  policies[1].priority = 4;
  policies[3].priority = 4;
  policies[2].direction = Direction::socket_out;
  const PolicyIndex index(policies);
  EXPECT_EQ(index.order(), (std::vector<std::size_t>{1, 3, 0}));
}

// Against every pair, on prefixes of both families that nest a lot.
TEST(Precedence, IndexFindsAllThatOverlap) {
  constexpr unsigned seed = 5;
  std::mt19937 random(seed);
  const auto prefix = [&](bool ipv6) {
    Prefix p;
    p.address.ipv6 = ipv6;
    p.length = static_cast<std::uint8_t>(random() % (ipv6 ? 129 : 33));
    for (std::size_t bit = 0; bit < p.length; ++bit) {
      if (bit % 9 == 0 && random() % 2 == 0) {
        p.address.bytes[bit / 8] |= static_cast<std::uint8_t>(0x80U >> (bit % 8));
      }
    }
    return p;
  };
  std::vector<Policy> policies(600);
  for (Policy& one : policies) {
    const bool ipv6 = random() % 2 == 0;
    one.direction = static_cast<Direction>(random() % 3);
    one.selector.source = prefix(ipv6);
    one.selector.destination = prefix(ipv6);
  }
  const PolicyIndex index(policies);
  for (const Policy& wanted : policies) {
    std::set<std::size_t> found;
    index.each_near(wanted.direction, wanted.selector, [&](std::size_t position) {
      if (overlap(policies[position], wanted)) {
        EXPECT_TRUE(found.insert(position).second);
      }
      return true;
    });
    std::set<std::size_t> all;
    for (std::size_t i = 0; i < policies.size(); ++i) {
      if (overlap(policies[i], wanted)) all.insert(i);
    }
    ASSERT_EQ(found, all);
  }
}

}  // namespace
}  // namespace cs::xfrm
