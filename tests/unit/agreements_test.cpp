// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/agreements.h"

#include <gtest/gtest.h>

#include "tests/unit/kernel_policies.h"
#include "xfrm/agreement/compare.h"

namespace cs::keyms {
namespace {

using test::address;
using test::get;
using test::network;
using test::policy_with;
using xfrm::End;

std::vector<std::string> tunnels_of(const Agreements& all) {
  std::vector<std::string> names;
  for (const auto& tunnel : all.expected().agreement.tunnels) names.push_back(tunnel.name);
  return names;
}

TEST(Agreements, WeAreAlwaysTheLeftEnd) {
  // "aachen-1" sorts before us: there we are the second gateway.
  const std::vector policies{policy_with("hamburg-1", 2), policy_with("aachen-1", 3)};
  ASSERT_EQ(end_of(policies[1], "berlin-1"), End::right);
  const Agreements all = get(Agreements::join(policies, "berlin-1"));
  EXPECT_EQ(tunnels_of(all), (std::vector<std::string>{"aachen-1/office", "hamburg-1/office"}));
  EXPECT_EQ(all.expected().end, End::left);
  for (const xfrm::Tunnel& tunnel : all.expected().agreement.tunnels) {
    EXPECT_EQ(tunnel.ends[0].address, address("192.0.2.1")) << tunnel.name;
    EXPECT_EQ(tunnel.ends[0].traffic, std::vector{network("10.1.0.0/16")}) << tunnel.name;
  }
  ASSERT_EQ(all.peers().size(), 2U);
  EXPECT_EQ(all.peers()[0].name, "aachen-1");
  EXPECT_EQ(all.peers()[0].addresses, std::vector{address("192.0.2.3")});
}

TEST(Agreements, EachEndExpectsWhatItsPairAlone) {
  const CorePolicy policy = policy_with("aachen-1", 3);
  const Agreements all = get(Agreements::join({policy}, "berlin-1"));
  const auto alone = get(xfrm::expect(policy.agreement, End::right));
  const xfrm::State state = test::state_of(alone);
  EXPECT_TRUE(xfrm::compare(all.expected(), state, {}).empty());
}

TEST(Agreements, BackToThePair) {
  const Agreements all =
      get(Agreements::join({policy_with("hamburg-1", 2), policy_with("aachen-1", 3)}, "berlin-1"));
  xfrm::State state = test::state_of(all.expected());
  std::erase_if(state.policies, [](const xfrm::Policy& policy) {
    return policy.direction == xfrm::Direction::out &&
           policy.selector.destination == network("10.2.0.0/16").network;
  });
  const auto found = xfrm::compare(all.expected(), state, {});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].tunnel, "hamburg-1/office");
  EXPECT_EQ(all.peer_of(found[0].tunnel), "hamburg-1");
  EXPECT_EQ(all.peer_of(""), std::nullopt) << "the whole machine's concerns all";
  EXPECT_EQ(all.peer_of("rostock-1/office"), std::nullopt);
  ASSERT_NE(all.peer_at(address("192.0.2.3")), nullptr);
  EXPECT_EQ(*all.peer_at(address("192.0.2.3")), "aachen-1");
  EXPECT_EQ(all.peer_at(address("192.0.2.1")), nullptr) << "our own";
}

TEST(Agreements, TunnelsEndAtMoreAddressesThanTheGatewayTells) {
  CorePolicy policy = policy_with("hamburg-1", 2);
  policy.gateways[1].addresses.clear();
  EXPECT_EQ(get(Agreements::join({policy}, "berlin-1")).peers()[0].addresses,
            std::vector{address("192.0.2.2")});
  policy.agreement.tunnels[0].ends[1].address.reset();
  const auto nobody = Agreements::join({policy}, "berlin-1");
  ASSERT_FALSE(nobody.ok());
  EXPECT_NE(nobody.error().message().find("hamburg-1"), std::string::npos);
}

TEST(Agreements, BypassesAreOurOwnOnly) {
  CorePolicy policy = policy_with("aachen-1", 3);
  policy.agreement.bypasses = {
      {"here", End::right, network("10.1.9.0/24"), network("10.3.9.0/24")},
      {"there", End::left, network("10.3.8.0/24"), network("10.1.8.0/24")}};
  const Agreements all = get(Agreements::join({policy}, "berlin-1"));
  ASSERT_EQ(all.expected().agreement.bypasses.size(), 1U);
  EXPECT_EQ(all.expected().agreement.bypasses[0].name, "aachen-1/here");
  EXPECT_EQ(all.expected().agreement.bypasses[0].at, End::left);
}

TEST(Agreements, TheStricterDefaultHolds) {
  CorePolicy strict = policy_with("hamburg-1", 2);
  strict.agreement.defaults.forward = xfrm::Action::block;
  const Agreements all = get(Agreements::join({strict, policy_with("aachen-1", 3)}, "berlin-1"));
  EXPECT_EQ(all.expected().agreement.defaults.forward, xfrm::Action::block);
  EXPECT_EQ(all.expected().agreement.defaults.in, xfrm::Action::allow);
}

TEST(Agreements, LongNamesStayDifferent) {
  CorePolicy policy = policy_with("hamburg-1", 2);
  const std::string same(xfrm::max_name - 1, 'x');
  xfrm::Tunnel second = policy.agreement.tunnels[0];
  second.ends[1].traffic = {network("10.9.0.0/16")};
  policy.agreement.tunnels[0].name = same + "1";
  second.name = same + "2";
  policy.agreement.tunnels.push_back(second);
  const auto names = tunnels_of(get(Agreements::join({policy}, "berlin-1")));
  ASSERT_EQ(names.size(), 2U);
  EXPECT_NE(names[0], names[1]);
  for (const std::string& name : names) EXPECT_EQ(name.size(), xfrm::max_name);
}

TEST(Agreements, RefusesWhatDoesNotGoTogether) {
  const CorePolicy one = policy_with("hamburg-1", 2);
  EXPECT_FALSE(Agreements::join({}, "berlin-1").ok());
  EXPECT_FALSE(Agreements::join({one}, "rostock-1").ok());
  EXPECT_FALSE(Agreements::join({one, one}, "berlin-1").ok()) << "two with one peer";
  CorePolicy same_address = policy_with("aachen-1", 3);
  same_address.gateways[0].addresses.push_back(address("192.0.2.2"));
  const auto shared = Agreements::join({one, same_address}, "berlin-1");
  ASSERT_FALSE(shared.ok());
  EXPECT_NE(shared.error().message().find("192.0.2.2"), std::string::npos);
}

}  // namespace
}  // namespace cs::keyms
