// SPDX-License-Identifier: GPL-3.0-or-later
// Features of real interfaces. No interface that can be made here does IPsec, so these are others;
// what makes the IPsec ones different is their name.
#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "tests/netns/environment.h"
#include "tests/support/unwrap.h"
#include "xfrm/offload.h"

namespace cs {
namespace {

using test::get;

std::vector<InterfaceFeature> on(const test::Netns& netns, std::vector<std::string_view> features) {
  return get(netns.run([&] { return features_on(features); }));
}

TEST(InterfaceFeatures, AreSeenAsTheyAreSwitched) {
  const test::Pair pair = get(test::make_pair());
  using Found = std::vector<InterfaceFeature>;
  for (const char* state : {"on", "off", "on"}) {
    get(pair.a.must({"ip", "link", "set", "dev", "lo", "up"}));
    for (const char* feature : {"gro", "tso"}) {
      get(pair.a.must({"ethtool", "-K", "left", feature, state}));
    }
    const bool is_on = std::string_view(state) == "on";
    const auto all = on(pair.a, {"rx-gro", "tx-tcp-segmentation", "no-such-feature"});
    for (const char* feature : {"rx-gro", "tx-tcp-segmentation"}) {
      EXPECT_EQ(std::count(all.begin(), all.end(), InterfaceFeature{"left", feature, false}),
                is_on ? 1 : 0)
          << feature << " " << state;
    }
  }
  EXPECT_EQ(on(pair.a, {"loopback"}), (Found{{"lo", "loopback", true}})) << "fixed, and on lo only";
  EXPECT_EQ(on(pair.a, {"no-such-feature"}), Found{});
  EXPECT_EQ(on(pair.a, {}), Found{});
}

TEST(InterfaceFeatures, OfIpsecAreOffHere) {
  const test::Pair pair = get(test::make_pair());
  EXPECT_TRUE(
      on(pair.a, {"esp-hw-offload", "esp-tx-csum-hw-offload", "tx-esp-segmentation"}).empty());
}

}  // namespace
}  // namespace cs
