// SPDX-License-Identifier: GPL-3.0-or-later
// The gate in the kernel: it outlives who made it, comes back when it is lost, and leaves alone
// what is not its own.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>

#include "tests/netns/environment.h"
#include "tests/support/unwrap.h"
#include "xfrm/gate/gate.h"

namespace cs::test {
namespace {

using net::Address;
using xfrm::Gate;
using xfrm::GateConfig;
using xfrm::GateKind;
using xfrm::GateView;
using xfrm::GateWay;
using xfrm::Opening;
using xfrm::Passage;

Address address(const std::string& text) {
  return get(Address::parse(text));
}

GateConfig two_peers() {
  return {.peers = {{.name = "b",
                     .addresses = {address("192.0.2.2"), address("2001:db8::2")},
                     .ike = true},
                    {.name = "c", .addresses = {address("192.0.2.3")}}},
          .translator_port = 4600};
}

Passage passage(const std::string& to) {
  return {GateWay::out, address(to), IPPROTO_ESP, 0xc0000001};
}

class GateKept : public testing::TestWithParam<GateKind> {
 protected:
  GateKept() : netns_(get(Netns::create())) {}

  template <class F>
  auto in(F&& f) const {
    return get(netns_.run(std::forward<F>(f)));
  }
  Gate set_up(const GateConfig& config = two_peers()) const {
    return in([&] { return Gate::set_up(config, GetParam()); });
  }
  [[nodiscard]] GateView look() const {
    return in([] { return Gate(get(Gate::find())).look(); });
  }
  [[nodiscard]] Opening opening() const { return look().peers.at(0).opening; }
  void must(const std::string& shell) const { get(netns_.must({"sh", "-c", shell})); }
  // All that is not the gate's, without counters.
  [[nodiscard]] std::string others() const {
    const auto listed = get(netns_.command(
        {"sh", "-c",
         "nft -s list ruleset 2>/dev/null | awk '/^table/ { theirs = !/countersign_gate/ && !/ "
         "raw / } "
         "theirs'; for f in iptables ip6tables; do $f-save | grep '^[-:*]' | grep -v CSGATE_ | "
         "sed 's/ \\[.*//'; done"}));
    return listed.output;
  }

  Netns netns_;
};

TEST_P(GateKept, TheNextProcessAdoptsItWithAllThatIsOpen) {
  {
    Gate gate = set_up();
    in([&] { return gate.open("b", Opening::listed); });
    in([&] { return gate.admit("b", passage("192.0.2.2")); });
    in([&] { return gate.admit("b", passage("2001:db8::2")); });
  }
  Gate next = set_up();
  GateView view = in([&] { return next.look(); });
  EXPECT_EQ(view.kind, GetParam());
  EXPECT_TRUE(view.complete);
  ASSERT_EQ(view.peers.size(), 2U);
  EXPECT_EQ(view.peers[0].name, "b");
  EXPECT_EQ(view.peers[0].addresses, two_peers().peers[0].addresses);
  EXPECT_EQ(view.peers[0].opening, Opening::listed);
  EXPECT_EQ(view.peers[0].passages, (std::vector{passage("192.0.2.2"), passage("2001:db8::2")}));
  EXPECT_EQ(view.peers[1].opening, Opening::closed);
  in([&] { return next.open("b", Opening::listed); });
  EXPECT_EQ(look().peers[0].passages.size(), 2U) << "opening again keeps what is admitted";
}

TEST_P(GateKept, AnotherConfigurationStartsClosed) {
  Gate gate = set_up();
  in([&] { return gate.open("b", Opening::any); });
  GateConfig other = two_peers();
  other.peers.pop_back();
  set_up(other);
  EXPECT_EQ(look().peers.size(), 1U) << "nothing of the other peer is left";
  EXPECT_EQ(opening(), Opening::closed);
}

TEST_P(GateKept, WhatIsLostInPartComesBackClosed) {
  Gate gate = set_up();
  EXPECT_FALSE(in([&] { return gate.keep(); }));
  const bool nft = GetParam() == GateKind::nft;
  for (const std::string& loss :
       nft ? std::vector<std::string>{"nft flush ruleset",
                                      "nft flush chain inet countersign_gate in",
                                      "nft flush chain inet countersign_gate b.out.ipsec",
                                      "nft flush map inet countersign_gate out.ip6",
                                      "nft 'add table inet countersign_gate { flags dormant; }'"}
           : std::vector<std::string>{"iptables -t raw -F", "ip6tables -t raw -F OUTPUT",
                                      "ip6tables -t raw -F CSGATE_b.O",
                                      "iptables -t raw -D CSGATE_b.IC -j DROP",
                                      "nft flush ruleset"}) {
    in([&] { return gate.open("b", Opening::any); });
    EXPECT_EQ(opening(), Opening::any) << loss;
    must(loss);
    EXPECT_TRUE(in([&] { return gate.keep(); })) << loss;
    EXPECT_TRUE(look().complete) << loss;
    EXPECT_EQ(opening(), Opening::closed) << loss;
    EXPECT_FALSE(in([&] { return gate.keep(); })) << loss;
  }
}

TEST_P(GateKept, AnotherConfigurationKeepsWhatIsGranted) {
  Gate gate = set_up();
  const std::vector<xfrm::GateGrant> granted{
      {.peer = "b",
       .opening = Opening::listed,
       .passages = {passage("192.0.2.2"), passage("2001:db8::2"),
                    Passage{GateWay::in, address("192.0.2.1"), IPPROTO_AH, 7}}},
      {.peer = "d", .opening = Opening::any, .passages = {}}};
  GateConfig other = two_peers();
  other.peers[1] = {.name = "d", .addresses = {address("192.0.2.4")}};
  in([&] { return gate.change(other, granted); });
  const auto expect_granted = [&] {
    const GateView view = look();
    EXPECT_TRUE(view.complete);
    ASSERT_EQ(view.peers.size(), 2U);
    EXPECT_EQ(view.peers[0].opening, Opening::listed);
    EXPECT_EQ(view.peers[0].passages.size(), 3U);
    for (const Passage& one : granted[0].passages) {
      EXPECT_NE(std::ranges::find(view.peers[0].passages, one), view.peers[0].passages.end());
    }
    EXPECT_EQ(view.peers[1].name, "d");
    EXPECT_EQ(view.peers[1].opening, Opening::any);
  };
  expect_granted();
  EXPECT_FALSE(in([&] { return gate.keep(granted); })) << "it is the other configuration's now";
  must("nft flush ruleset; iptables -t raw -F; ip6tables -t raw -F");
  EXPECT_TRUE(in([&] { return gate.keep(granted); }));
  expect_granted();
  in([&] { return gate.close("b"); });
  EXPECT_EQ(look().peers[0].passages.size(), 0U);
  EXPECT_FALSE(netns_.run([&] { return gate.change(two_peers(), granted); }).ok())
      << "d is no peer of it";
  EXPECT_EQ(look().peers[1].name, "d");
}

TEST_P(GateKept, WhatOthersHaveIsNotTouched) {
  must(
      "nft add table inet filter; nft add chain inet filter input '{ type filter hook input "
      "priority 0; }'; nft add rule inet filter input tcp dport 22 accept; "
      "for f in iptables ip6tables; do for t in raw mangle; do $f -t $t -N OPERATOR; "
      "$f -t $t -A OPERATOR -p esp -j ACCEPT; $f -t $t -A OUTPUT -j OPERATOR; done; done");
  const std::string before = others();
  Gate gate = set_up();
  in([&] { return gate.open("b", Opening::listed); });
  in([&] { return gate.admit("b", passage("192.0.2.2")); });
  in([&] { return gate.close("b"); });
  GateConfig other = two_peers();
  other.peers.pop_back();
  gate = set_up(other);
  EXPECT_EQ(others(), before);
  in(Gate::remove);
  EXPECT_EQ(others(), before);
  const auto after = get(netns_.command({"sh", "-c", "nft list ruleset; ip6tables-save"})).output;
  EXPECT_EQ(after.find("CSGATE"), std::string::npos);
  EXPECT_EQ(after.find("countersign_gate"), std::string::npos);
  in(Gate::remove);
}

TEST_P(GateKept, ThereIsNoSecondOne) {
  set_up();
  const GateKind other = GetParam() == GateKind::nft ? GateKind::iptables : GateKind::nft;
  const auto second = netns_.run([&] { return Gate::set_up(two_peers(), other); });
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::exists);
  EXPECT_EQ(in([&] { return Gate::set_up(two_peers()); }).kind(), GetParam());
}

TEST_P(GateKept, APeerItDoesNotKnowIsToldAndMadeNowhere) {
  Gate gate = set_up();
  for (const std::string& name : {std::string("nobody"), std::string("b\"; flush ruleset")}) {
    EXPECT_FALSE(netns_.run([&] { return gate.open(name, Opening::any); }).ok());
    EXPECT_FALSE(netns_.run([&] { return gate.admit(name, passage("192.0.2.2")); }).ok());
    EXPECT_FALSE(netns_.run([&] { return gate.withdraw(name, passage("192.0.2.2")); }).ok());
  }
  EXPECT_EQ(netns_.run([&] { return gate.open("nobody", Opening::any); }).error().kind(),
            ErrorKind::not_found);
  EXPECT_EQ(look().peers.size(), 2U);
  EXPECT_TRUE(look().complete);
}

TEST_P(GateKept, NoneIsTold) {
  const auto none = netns_.run([] { return Gate::find(); });
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind(), ErrorKind::not_found);
  Gate gate = set_up();
  in(Gate::remove);
  EXPECT_FALSE(netns_.run([&] { return gate.look(); }).ok());
  EXPECT_FALSE(netns_.run([&] { return gate.open("b", Opening::any); }).ok());
}

INSTANTIATE_TEST_SUITE_P(Kinds, GateKept, testing::Values(GateKind::nft, GateKind::iptables),
                         [](const auto& test) { return std::string(xfrm::to_string(test.param)); });

}  // namespace
}  // namespace cs::test
