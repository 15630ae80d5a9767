// SPDX-License-Identifier: GPL-3.0-or-later
// Inner MTUs that follow the path to the peer, on this machine's kernel:
//
//   a: inner routes, table 220 --> left ---- right :router: far -(1400)- peer :b
#include "nfq-signer/path_keeper.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/netns/environment.h"
#include "tests/support/scratch.h"
#include "tests/support/unwrap.h"

namespace cs::mtu {
namespace {

using test::get;
using test::Netns;
using test::Scratch;

constexpr std::array kPeer{"198.51.100.2", "2001:db8:9::2"};
constexpr std::array kInner{"10.2.0.0/24", "2001:db8:b::/64"};

// By the outer family; inside go both.
class Paths : public testing::TestWithParam<test::Family> {
 protected:
  Paths() {
    get(test::connect({a_, "left", {"192.0.2.1/24", "2001:db8::1/64"}},
                      {router_, "right", {"192.0.2.2/24", "2001:db8::2/64"}}));
    get(test::connect({router_, "far", {"198.51.100.1/24", "2001:db8:9::1/64"}},
                      {b_, "peer", {"198.51.100.2/24", "2001:db8:9::2/64"}}));
    get(router_.write_sysctl("net/ipv4/ip_forward", "1"));
    get(router_.write_sysctl("net/ipv6/conf/all/forwarding", "1"));
    get(router_.must({"ip", "link", "set", "dev", "far", "mtu", "1400"}));
    for (const char* via : {"192.0.2.2", "2001:db8::2"})
      get(a_.must({"ip", "route", "add", "default", "via", via}));
    get(b_.must({"ip", "route", "add", "default", "via", "198.51.100.1"}));
    get(b_.must({"ip", "-6", "route", "add", "default", "via", "2001:db8:9::1"}));
    for (const char* flag : {"-4", "-6"})
      get(a_.must({"ip", flag, "rule", "add", "lookup", "220", "priority", "220"}));
    add_route(0);
    add_route(1);
  }

  static std::size_t index() { return GetParam() == test::Family::v6 ? 1 : 0; }
  static net::Address peer() { return get(net::Address::parse(kPeer.at(index()))); }
  void add_route(std::size_t family, std::vector<std::string> more = {}) const {
    std::vector<std::string> words{"ip",  "route", "add",   kInner.at(family),
                                   "dev", "left",  "table", "220"};
    words.insert(words.end(), more.begin(), more.end());
    get(a_.must(std::move(words)));
  }
  // Packets to the peer that may not be fragmented, and are too large for the far link, until the
  // kernel has heard of it: on a busy machine one gets lost.
  void learn() const {
    const std::string flag = index() == 1 ? "-6" : "-4";
    for (int tries = 0; tries < 5; ++tries) {
      get(a_.command(
          {"ping", flag, "-c", "1", "-W", "1", "-M", "do", "-s", "1450", kPeer.at(index())}));
      const auto route = get(a_.command({"ip", flag, "route", "get", kPeer.at(index())}));
      if (route.output.find(" mtu ") != std::string::npos) return;
    }
  }
  void forget() const {
    get(a_.must({"ip", index() == 1 ? "-6" : "-4", "route", "flush", "cache"}));
  }
  std::string shown(std::size_t family) const {
    return get(a_.command({"ip", family == 1 ? "-6" : "-4", "route", "show", "table", "220"}))
        .output;
  }
  // Of the inner route; 0: it has none.
  unsigned mtu(std::size_t family) const {
    const std::string text = shown(family);
    const std::size_t at = text.find(" mtu ");
    return at == std::string::npos ? 0 : static_cast<unsigned>(std::stoul(text.substr(at + 5)));
  }
  static Tunnel tunnel() {
    Tunnel out{.peer = peer()};
    for (const char* inner : kInner) out.inner.push_back(get(net::Prefix::parse(inner)));
    out.sa.outer_ipv6 = index() == 1;
    return out;
  }
  PathKeeper open(std::vector<Tunnel> tunnels, Policy policy = Policy::fragment) const {
    return get(a_.run([&] {
      return PathKeeper::open({.tunnels = tunnels,
                               .policy = policy,
                               .tables = {rt::strongswan_table, rt::main_table},
                               .memory = scratch_.file("routes")});
    }));
  }
  bool look(PathKeeper& keeper, std::optional<Suite> suite = {}) {
    now_ += std::chrono::seconds(1);
    const std::vector<Destination> one{{peer(), suite}};
    return keeper.look(one, now_);
  }
  // What went into the journal.
  static std::string told(PathKeeper& keeper) {
    std::string all;
    for (const auto& notice : keeper.take_notices()) {
      all += std::string(notice.is_trouble ? "! " : "") + notice.words + "\n";
    }
    return all;
  }
  static std::size_t expected(std::size_t path, Suite suite = Suite::p256_node16) {
    return inner_mtu(tunnel().sa, path, largest_extension(suite, 64));
  }

  Netns a_ = get(Netns::create());
  Netns router_ = get(Netns::create());
  Netns b_ = get(Netns::create());
  Scratch scratch_ = get(Scratch::create());
  BootTime now_ = BootTime(std::chrono::hours(1));
};

TEST_P(Paths, InnerRoutesFollowTheLearnedMtuDownAndUp) {
  PathKeeper keeper = open({tunnel()});
  EXPECT_TRUE(look(keeper));
  EXPECT_EQ(mtu(0), expected(1500));
  EXPECT_EQ(mtu(1), 1280U);
  EXPECT_FALSE(look(keeper)) << "nothing has changed";
  learn();
  EXPECT_TRUE(look(keeper));
  EXPECT_EQ(mtu(0), expected(1400));
  EXPECT_EQ(mtu(1), 1280U) << "IPv6 is never below";
  ASSERT_EQ(keeper.limits().size(), 1U);
  EXPECT_EQ(keeper.limits()[0].mtu, 1400U);
  EXPECT_EQ(keeper.paths()[0].tunnels[0].routes, 2U);
  const std::string said = told(keeper);
  EXPECT_NE(said.find("the path carries 1400 bytes, a router on it says"), std::string::npos)
      << said;
  EXPECT_EQ(said.find('!'), std::string::npos) << said;
  forget();
  EXPECT_TRUE(look(keeper));
  EXPECT_EQ(mtu(0), expected(1500));
  get(keeper.restore());
  EXPECT_EQ(mtu(0), 0U);
  EXPECT_EQ(mtu(1), 0U);
}

TEST_P(Paths, ACappedBatchLetsIpv6Through) {
  PathKeeper keeper = open({tunnel()}, Policy::cap);
  look(keeper);
  EXPECT_EQ(keeper.limits()[0].max_batch, index() == 1 ? 4U : 8U);
  EXPECT_FALSE(keeper.limits()[0].clears_df);
  EXPECT_GE(mtu(0), 1280U);
  EXPECT_EQ(mtu(0), mtu(1));
  // Then not even a batch of one does: IPv4 goes on with what fits, and the cure is told.
  learn();
  look(keeper);
  EXPECT_EQ(keeper.limits()[0].max_batch, 64U);
  EXPECT_EQ(mtu(0), expected(1400));
  EXPECT_EQ(mtu(1), 1280U);
  EXPECT_NE(keeper.paths()[0].tunnels[0].trouble.find("mtu.policy"), std::string::npos);
  look(keeper);
  told(keeper);
  look(keeper);
  EXPECT_EQ(told(keeper), "") << "it is told once";
}

TEST_P(Paths, TheKeysSuiteCounts) {
  PathKeeper keeper = open({tunnel()});
  look(keeper, Suite::ed25519_node32);
  EXPECT_EQ(mtu(0), expected(1500, Suite::ed25519_node32));
  look(keeper);  // keymsd is away: as it was
  EXPECT_EQ(mtu(0), expected(1500, Suite::ed25519_node32));
}

TEST_P(Paths, RoutesThatComeLaterAreFoundAndThoseThatGoForgotten) {
  get(a_.must({"ip", "route", "del", kInner[0], "table", "220"}));
  PathKeeper keeper = open({tunnel()});
  look(keeper);
  EXPECT_NE(keeper.paths()[0].tunnels[0].trouble.find("10.2.0.0/24 has no route of its own"),
            std::string::npos);
  add_route(0, {"mtu", "1450"});
  look(keeper);
  EXPECT_EQ(keeper.paths()[0].tunnels[0].trouble, "");
  EXPECT_EQ(mtu(0), expected(1500));
  get(a_.must({"ip", "route", "del", kInner[0], "table", "220"}));
  look(keeper);
  add_route(0, {"mtu", "1000"});
  look(keeper);
  EXPECT_EQ(mtu(0), 1000U) << "what somebody else set lower stays";
  get(keeper.restore());
  EXPECT_EQ(mtu(0), 1000U);
}

TEST_P(Paths, ARouteThatIsNotTakenIsTrouble) {
  get(a_.must({"ip", "-4", "rule", "del", "lookup", "220"}));
  PathKeeper keeper = open({tunnel()});
  look(keeper);
  const std::string trouble = keeper.paths()[0].tunnels[0].trouble;
  EXPECT_NE(trouble.find("10.2.0.0/24 in table 220 has the MTU, but packets there take another"),
            std::string::npos)
      << trouble;
}

TEST_P(Paths, ASuccessorPutsBackWhatIsNoLongerAsked) {
  {
    PathKeeper killed = open({tunnel()});
    look(killed);
  }
  EXPECT_EQ(mtu(0), expected(1500));
  {
    Tunnel other = tunnel();
    other.inner.erase(other.inner.begin());
    PathKeeper successor = open({other});
    look(successor);
    EXPECT_EQ(mtu(0), 0U);
    EXPECT_EQ(mtu(1), 1280U);
  }
  PathKeeper without = open({});
  look(without);
  EXPECT_EQ(mtu(1), 0U);
}

// A peer without [[tunnel]], and SAs that add more than their [[tunnel]] says.
TEST_P(Paths, WhatDoesNotFitIsToldAndAnsweredByALowerMtu) {
  const auto lose = [](const PathKeeper& keeper) {
    keeper.limits()[0].counters->lose(keeper.limits()[0].mtu + 20);
  };
  {
    PathKeeper keeper = open({});
    look(keeper);
    told(keeper);
    lose(keeper);
    look(keeper);
    const std::string said = told(keeper);
    EXPECT_NE(said.find("1 packets were longer than the path's 1500 bytes and are lost; give it a "
                        "[[tunnel]]"),
              std::string::npos)
        << said;
    lose(keeper);
    look(keeper);
    EXPECT_EQ(told(keeper), "") << "not each second";
    EXPECT_EQ(mtu(0), 0U);
  }
  PathKeeper keeper = open({tunnel()});
  look(keeper);
  lose(keeper);
  look(keeper);
  EXPECT_EQ(mtu(0), expected(1500)) << "it may be from before the MTU was set";
  look(keeper);
  lose(keeper);
  told(keeper);
  look(keeper);
  EXPECT_EQ(mtu(0), expected(1500) - 20);
  EXPECT_EQ(mtu(1), 1280U);
  look(keeper);
  look(keeper);
  keeper.limits()[0].counters->lose(keeper.limits()[0].mtu + 200);
  look(keeper);
  EXPECT_EQ(mtu(0), expected(1500) - 20) << "no SA adds as much";
  EXPECT_NE(told(keeper).find("! " + peer().text() + ": packets are 20 bytes longer than expected"),
            std::string::npos);
}

TEST_P(Paths, TransportModeTouchesNoRouteAndClearsDf) {
  Tunnel transport{.peer = peer()};
  transport.sa.outer_ipv6 = index() == 1;
  transport.sa.mode = Mode::transport;
  PathKeeper keeper = open({transport}, Policy::cap);
  look(keeper);
  EXPECT_TRUE(keeper.limits()[0].clears_df);
  EXPECT_EQ(keeper.limits()[0].max_batch, 64U);
  EXPECT_EQ(mtu(0), 0U);
  EXPECT_EQ(keeper.paths()[0].tunnels[0].trouble, "");
}

TEST_P(Paths, APeerThatCannotBeReachedIsTroubleUntilItCan) {
  PathKeeper keeper = open({tunnel()});
  const std::string flag = index() == 1 ? "-6" : "-4";
  get(a_.must({"ip", flag, "route", "del", "default"}));
  look(keeper);
  EXPECT_NE(keeper.paths()[0].trouble, "");
  EXPECT_TRUE(keeper.limits().empty());
  EXPECT_EQ(mtu(0), 0U);
  get(a_.must({"ip", flag, "route", "add", "default", "dev", "left"}));
  look(keeper);
  EXPECT_EQ(keeper.paths()[0].trouble, "");
  EXPECT_EQ(mtu(0), expected(1500));
}

INSTANTIATE_TEST_SUITE_P(Outer, Paths, testing::Values(test::Family::v4, test::Family::v6),
                         [](const auto& test) {
                           return test.param == test::Family::v4 ? "v4" : "v6";
                         });

}  // namespace
}  // namespace cs::mtu
