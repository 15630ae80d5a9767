// SPDX-License-Identifier: GPL-3.0-or-later
// Inner routes and the route to the peer on this machine's kernel:
//
//   a: inner route --> left ---- right :b      and      a ---- router -(1400)- b
#include "xfrm/route/routes.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/netns/environment.h"
#include "tests/support/scratch.h"
#include "tests/support/unwrap.h"

namespace cs::rt {
namespace {

using test::get;
using test::kAddressesA;
using test::kAddressesB;
using test::Netns;
using test::Scratch;

constexpr std::array kInner{"192.168.2.0/24", "2001:db8:2::/64"};
constexpr std::array kTables{strongswan_table, main_table};
constexpr std::uint32_t kMtu = 1310;

class OnBothFamilies : public testing::TestWithParam<test::Family> {
 protected:
  static bool ipv6() { return GetParam() == test::Family::v6; }
  static std::size_t index() { return ipv6() ? 1 : 0; }
  static std::string flag() { return ipv6() ? "-6" : "-4"; }
};

class InnerRoute : public OnBothFamilies {
 protected:
  InnerRoute() : pair_(get(test::make_pair())), scratch_(get(Scratch::create())) {}

  void ip(std::vector<std::string> words) const {
    words.insert(words.begin(), {"ip", flag()});
    get(pair_.a.must(std::move(words)));
  }
  void route(std::vector<std::string> words) const {
    words.insert(words.begin(), "route");
    ip(std::move(words));
  }
  void add_inner(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{"add", inner(), "via", gateway(), "dev", "left", "table", "220"};
    words.insert(words.end(), more.begin(), more.end());
    route(std::move(words));
  }
  // What `ip` prints of a table.
  std::string shown(const std::string& table = "220") const {
    return get(pair_.a.command({"ip", flag(), "-d", "route", "show", "table", table})).output;
  }
  Socket socket() const {
    return get(pair_.a.run([] { return Socket::open(); }));
  }
  InnerRoutes open() const { return get(InnerRoutes::open(socket(), state())); }
  std::string state() const { return scratch_.file("routes"); }
  bool remembers() const { return !get(read_memory(state())).empty(); }

  static std::string inner() { return kInner.at(index()); }
  static std::string gateway() { return kAddressesB.at(index()); }
  static Prefix inner_prefix() { return get(Prefix::parse(inner())); }
  static RouteKey key(std::uint32_t priority = 0) {
    // IPv6 has a metric always.
    return {inner_prefix(), strongswan_table, priority == 0 && ipv6() ? 1024 : priority, 0};
  }
  static std::vector<Peer> peers() { return {Peer{get(Address::parse(gateway())), 0, {}}}; }

  test::Pair pair_;
  Scratch scratch_;
};

TEST_P(InnerRoute, AreListedByPrefixAndTable) {
  const std::string more = ipv6() ? "2001:db8:2::80/121" : "192.168.2.128/25";
  const std::string other = ipv6() ? "2001:db8:3::/64" : "192.168.3.0/24";
  const std::string wider = ipv6() ? "2001:db8::/44" : "192.168.0.0/16";
  add_inner({"mtu", "1400"});
  route({"add", more, "dev", "left"});
  route({"add", other, "dev", "left", "table", "220"});
  route({"add", wider, "dev", "left", "table", "220"});
  route({"add", inner(), "dev", "left", "table", "221"});
  route({"add", "blackhole", inner(), "table", "220", "metric", "9"});
  const std::vector prefixes{inner_prefix()};
  const auto found = get(open().list(prefixes, kTables));
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].key, key());
  EXPECT_EQ(found[0].mtu, 1400U);
  EXPECT_EQ(found[0].obstacle, "");
  EXPECT_EQ(found[1].key.destination.text(), more);
  EXPECT_EQ(found[1].key.table, main_table);
  EXPECT_EQ(found[1].mtu, 0U);
}

TEST_P(InnerRoute, OfATableThatIsNotThereAreNone) {
  const std::vector prefixes{inner_prefix()};
  const std::vector<std::uint32_t> tables{77};
  EXPECT_TRUE(get(open().list(prefixes, tables)).empty());
}

// Everything `ip -d route` prints but the MTU must be as it was while it is set, and everything
// when it is put back.
TEST_P(InnerRoute, KeepsAllItHadButTheMtu) {
  const std::string source = kAddressesA.at(index());
  const std::string second = ipv6() ? "2001:db8::3" : "192.0.2.3";
  const std::vector<std::vector<std::string>> routes{
      {"via", gateway(), "dev", "left"},
      {"dev", "left", "proto", "static", "src", source, "metric", "50"},
      {"via", gateway(), "dev", "left", "mtu", "1400"},
      {"via", gateway(), "dev", "left", "mtu", "lock", "1400", "advmss", "1000", "initcwnd", "20"},
      {"via", gateway(), "dev", "left", "congctl", "cubic", "hoplimit", "33", "quickack", "1"},
      {"via", gateway(), "dev", "left", "onlink", "proto", "77"},
      {"nexthop", "via", gateway(), "weight", "3", "nexthop", "via", second, "weight", "200"},
      {"nhid", "7", "proto", "bird"},
  };
  ip({"nexthop", "add", "id", "7", "via", gateway(), "dev", "left"});
  for (const auto& words : routes) {
    std::vector<std::string> add{"add", inner(), "table", "220"};
    add.insert(add.end(), words.begin(), words.end());
    route(add);
    const std::string before = shown();
    InnerRoutes ours = open();
    const std::vector prefixes{inner_prefix()};
    const auto found = get(ours.list(prefixes, kTables));
    ASSERT_EQ(found.size(), 1U) << before;
    const RouteKey key = found[0].key;
    get(ours.set_mtu(key, kMtu, peers()));
    std::string during = shown();
    const std::size_t at = during.find("1310");
    ASSERT_NE(at, std::string::npos) << during;
    if (found[0].mtu == 1400) {
      EXPECT_EQ(during.replace(at, 4, "1400"), before);
    }
    EXPECT_EQ(get(ours.list(prefixes, kTables))[0].attributes, found[0].attributes) << before;
    EXPECT_EQ(get(ours.list(prefixes, kTables))[0].metrics, found[0].metrics) << before;
    get(ours.restore(key));
    EXPECT_EQ(shown(), before);
    EXPECT_FALSE(remembers());
    route({"del", inner(), "table", "220"});
  }
}

TEST_P(InnerRoute, IsPutBackByTheSuccessorOfAKilledProcess) {
  add_inner({"mtu", "1400"});
  const std::string before = shown();
  {
    InnerRoutes killed = open();
    get(killed.set_mtu(key(), kMtu, peers()));
    get(killed.set_mtu(key(), kMtu - 10, peers()));
    ASSERT_EQ(killed.remembered().size(), 1U);
    EXPECT_EQ(killed.remembered()[0], (Remembered{key(), 1400, {kMtu - 10, kMtu}}));
  }
  EXPECT_NE(shown().find("mtu 1300"), std::string::npos) << shown();
  InnerRoutes successor = open();
  const auto second = InnerRoutes::open(socket(), state());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::busy) << "two keep the same routes";
  EXPECT_EQ(successor.remembered().size(), 1U);
  get(successor.set_mtu(key(), kMtu, peers()));
  get(successor.restore_all());
  EXPECT_EQ(shown(), before);
  EXPECT_FALSE(remembers());
}

// Killed after it wrote what it was about to do, once before the first change, once before another.
TEST_P(InnerRoute, IsPutBackWhenTheChangeNeverCame) {
  add_inner();
  const std::string before = shown();
  get(write_memory(state(), {{key(), 0, {kMtu, kMtu}}}));
  get(open().restore_all());
  EXPECT_EQ(shown(), before);
  EXPECT_FALSE(remembers());

  get(open().set_mtu(key(), kMtu, peers()));
  get(write_memory(state(), {{key(), 0, {kMtu - 10, kMtu}}}));
  get(open().restore_all());
  EXPECT_EQ(shown(), before);
}

TEST_P(InnerRoute, IsLeftAloneOnceSomebodyElseChangedIt) {
  add_inner();
  InnerRoutes ours = open();
  get(ours.set_mtu(key(), kMtu, peers()));
  route({"replace", inner(), "via", gateway(), "dev", "left", "table", "220", "mtu", "1350"});
  const std::string theirs = shown();
  get(ours.restore_all());
  EXPECT_EQ(shown(), theirs);
  EXPECT_FALSE(remembers());

  // And what is put back is theirs, if it was changed by us before and after that.
  for (const char* mtu : {"1360", "1370"}) {
    get(ours.set_mtu(key(), kMtu, peers()));
    route({"replace", inner(), "via", gateway(), "dev", "left", "table", "220", "mtu", mtu});
  }
  const std::string last = shown();
  get(ours.set_mtu(key(), kMtu, peers()));
  get(ours.restore_all());
  EXPECT_EQ(shown(), last);
}

// An IKE daemon takes its route away, or installs it anew.
TEST_P(InnerRoute, ThatHasGoneIsForgotten) {
  add_inner();
  InnerRoutes ours = open();
  get(ours.set_mtu(key(), kMtu, peers()));
  route({"del", inner(), "table", "220"});
  get(ours.restore_all());
  EXPECT_FALSE(remembers());
  EXPECT_EQ(shown().find(inner()), std::string::npos);
  const auto gone = ours.set_mtu(key(), kMtu, peers());
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().kind(), ErrorKind::not_found);
  EXPECT_FALSE(remembers());
}

TEST_P(InnerRoute, ThatHasTheMtuAlreadyIsNotRemembered) {
  add_inner({"mtu", std::to_string(kMtu)});
  get(open().set_mtu(key(), kMtu, peers()));
  EXPECT_FALSE(remembers());
}

// By whichever table: the connected network, a default route, or table 220 asked before main.
TEST_P(InnerRoute, ThatLeadsToThePeerIsRefused) {
  InnerRoutes ours = open();
  const std::string network = ipv6() ? "2001:db8::/64" : "192.0.2.0/24";
  const std::string everything = ipv6() ? "::/0" : "0.0.0.0/0";
  const std::vector prefixes{get(Prefix::parse(network))};
  const std::vector<std::uint32_t> main{main_table};
  const std::string before = shown("main");
  const auto connected = get(ours.list(prefixes, main));
  ASSERT_EQ(connected.size(), 1U);
  const auto refused = ours.set_mtu(connected[0].key, kMtu, peers());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::denied) << refused.error().message();
  EXPECT_EQ(shown("main"), before);
  EXPECT_FALSE(remembers());

  route({"add", everything, "dev", "left", "table", "220"});
  const RouteKey all{get(Prefix::parse(everything)), strongswan_table, ipv6() ? 1024U : 0U, 0};
  get(ours.set_mtu(all, kMtu, peers()));  // main has the more specific one, and nobody asks 220
  get(ours.restore_all());
  ip({"rule", "add", "lookup", "220", "priority", "220"});
  const auto by_rule = ours.set_mtu(all, kMtu, peers());
  ASSERT_FALSE(by_rule.ok());
  EXPECT_EQ(by_rule.error().kind(), ErrorKind::denied);
  EXPECT_FALSE(remembers());
}

TEST_P(InnerRoute, ThatOnlyMarkedPacketsToThePeerTakeIsRefused) {
  const std::string host = gateway() + (ipv6() ? "/128" : "/32");
  route({"add", host, "dev", "left", "table", "220"});
  ip({"rule", "add", "fwmark", "0x20000", "lookup", "220", "priority", "220"});
  const RouteKey to_peer{get(Prefix::parse(host)), strongswan_table, ipv6() ? 1024U : 0U, 0};
  auto marked = peers();
  marked[0].mark = 0x20000;
  marked[0].source = get(Address::parse(kAddressesA.at(index())));
  const auto refused = open().set_mtu(to_peer, kMtu, marked);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::denied) << refused.error().message();
  marked[0].mark = 0;
  get(open().set_mtu(to_peer, kMtu, marked));
}

TEST_P(InnerRoute, AnImpossibleMtuIsRefused) {
  add_inner();
  for (const std::uint32_t mtu : {0U, 65536U, ipv6() ? 1279U : 67U}) {
    const auto refused = open().set_mtu(key(), mtu, peers());
    ASSERT_FALSE(refused.ok()) << mtu;
    EXPECT_EQ(refused.error().kind(), ErrorKind::invalid);
  }
  get(open().set_mtu(key(), ipv6() ? 1280 : 68, peers()));
}

TEST_P(InnerRoute, ABrokenStateFileStopsEverything) {
  get(write_memory(state(), {{key(), 0, {kMtu, kMtu}}}));
  get(pair_.a.must({"truncate", "-s", "-3", state()}));
  const auto opened = InnerRoutes::open(socket(), state());
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message().find("remove the file"), std::string::npos);
}

TEST(InnerRouteIpv4, ThatIsThereTwiceIsRefused) {
  const test::Pair pair = get(test::make_pair());
  const Scratch scratch = get(Scratch::create());
  for (const auto& [verb, gateway] : {std::pair{"add", "192.0.2.2"}, {"append", "192.0.2.3"}}) {
    get(pair.a.must({"ip", "route", verb, "192.168.2.0/24", "table", "220", "via", gateway}));
  }
  InnerRoutes ours = get(
      InnerRoutes::open(get(pair.a.run([] { return Socket::open(); })), scratch.file("routes")));
  const auto refused =
      ours.set_mtu({get(Prefix::parse("192.168.2.0/24")), strongswan_table, 0, 0}, kMtu, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::unsupported);
}

TEST(InnerRouteIpv6, ThatExpiresIsRefused) {
  const test::Pair pair = get(test::make_pair());
  const Scratch scratch = get(Scratch::create());
  get(pair.a.must({"ip", "-6", "route", "add", "2001:db8:2::/64", "dev", "left", "expires", "60"}));
  InnerRoutes ours = get(
      InnerRoutes::open(get(pair.a.run([] { return Socket::open(); })), scratch.file("routes")));
  const auto refused =
      ours.set_mtu({get(Prefix::parse("2001:db8:2::/64")), main_table, 1024, 0}, kMtu, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::unsupported);
  EXPECT_NE(refused.error().message().find("expires"), std::string::npos);
}

// A router that forwards, with a smaller MTU behind it.
class PathMtuOnTheWay : public OnBothFamilies {
 protected:
  PathMtuOnTheWay() {
    get(test::connect({a_, "left", {"192.0.2.1/24", "2001:db8::1/64"}},
                      {router_, "right", {"192.0.2.2/24", "2001:db8::2/64"}}));
    get(test::connect({router_, "far", {"198.51.100.1/24", "2001:db8:9::1/64"}},
                      {b_, "peer", {"198.51.100.2/24", "2001:db8:9::2/64"}}));
    get(router_.write_sysctl("net/ipv4/ip_forward", "1"));
    get(router_.write_sysctl("net/ipv6/conf/all/forwarding", "1"));
    get(router_.must({"ip", "link", "set", "dev", "far", "mtu", "1400"}));
    for (const Netns* netns : {&a_, &b_}) {
      const bool left = netns == &a_;
      get(netns->must(
          {"ip", "route", "add", "default", "via", left ? "192.0.2.2" : "198.51.100.1"}));
      get(netns->must(
          {"ip", "-6", "route", "add", "default", "via", left ? "2001:db8::2" : "2001:db8:9::1"}));
    }
  }

  static std::string peer() { return ipv6() ? "2001:db8:9::2" : "198.51.100.2"; }
  // A packet of 1478 or 1498 bytes that may not be fragmented.
  void send_large() const {
    get(a_.command({"ping", flag(), "-c", "1", "-W", "1", "-M", "do", "-s", "1450", peer()}));
  }
  Socket socket() const {
    return get(a_.run([] { return Socket::open(); }));
  }

  Netns a_ = get(Netns::create());
  Netns router_ = get(Netns::create());
  Netns b_ = get(Netns::create());
};

TEST_P(PathMtuOnTheWay, LearnedOneIsSeen) {
  Socket kernel = socket();
  PathMtuWatch watch(Peer{get(Address::parse(peer())), 0, {}});
  const auto first = get(watch.poll(kernel));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->mtu, 1500U);
  EXPECT_FALSE(first->learned);
  EXPECT_NE(first->interface, 0U);
  EXPECT_FALSE(get(watch.poll(kernel))) << "nothing has changed";

  send_large();
  const auto second = get(watch.poll(kernel));
  ASSERT_TRUE(second) << "the exception was not seen";
  EXPECT_EQ(second->mtu, 1400U);
  EXPECT_TRUE(second->learned);
  EXPECT_FALSE(get(watch.poll(kernel)));

  get(a_.must({"ip", flag(), "route", "flush", "cache"}));
  const auto third = get(watch.poll(kernel));
  ASSERT_TRUE(third) << "it was forgotten";
  EXPECT_EQ(third->mtu, 1500U);
  EXPECT_EQ(watch.last(), third);
}

TEST_P(PathMtuOnTheWay, InterfaceAndRouteLimitIt) {
  Socket kernel = socket();
  const Peer to{get(Address::parse(peer())), 0, {}};
  get(a_.must({"ip", flag(), "route", "replace", "default", "via",
               ipv6() ? "2001:db8::2" : "192.0.2.2", "mtu", "1450"}));
  EXPECT_EQ(get(path_mtu(kernel, to)), (PathMtu{1450, get(path_mtu(kernel, to)).interface, false}));
  get(a_.must({"ip", "link", "set", "dev", "left", "mtu", "1410"}));
  EXPECT_EQ(get(path_mtu(kernel, to)).mtu, 1410U);
  if (!ipv6()) return;
  get(a_.write_sysctl("net/ipv6/conf/left/mtu", "1390"));  // as a router may announce
  EXPECT_EQ(get(path_mtu(kernel, to)).mtu, 1390U);
}

TEST_P(PathMtuOnTheWay, AFailureKeepsTheLastOne) {
  Socket kernel = socket();
  PathMtuWatch watch(Peer{get(Address::parse(peer())), 0, {}});
  get(watch.poll(kernel));
  get(a_.must({"ip", flag(), "route", "del", "default"}));
  const auto lost = watch.poll(kernel);
  ASSERT_FALSE(lost.ok());
  ASSERT_TRUE(watch.last());
  EXPECT_EQ(watch.last()->mtu, 1500U);
}

const auto name_of_family = [](const testing::TestParamInfo<test::Family>& test) {
  return test.param == test::Family::v4 ? "v4" : "v6";
};
INSTANTIATE_TEST_SUITE_P(Families, InnerRoute, testing::Values(test::Family::v4, test::Family::v6),
                         name_of_family);
INSTANTIATE_TEST_SUITE_P(Families, PathMtuOnTheWay,
                         testing::Values(test::Family::v4, test::Family::v6), name_of_family);

}  // namespace
}  // namespace cs::rt
