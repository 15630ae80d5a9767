// SPDX-License-Identifier: GPL-3.0-or-later
// Policies put into this machine's kernel and taken out again, whatever comes between; and sockets
// beside them. With SAs, which this machine may not have: esp_test.cpp, in the lab's guest.
#include <arpa/inet.h>
#include <linux/xfrm.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "tests/netns/environment.h"
#include "tests/netns/killed.h"
#include "tests/netns/xfrm_tunnel.h"
#include "tests/support/memory_search.h"
#include "tests/support/scratch.h"
#include "xfrm/install/bypass.h"

namespace cs::xfrm {
namespace {

using test::get;
using test::Netns;
using test::policies_in;
using test::policies_of;
using test::TunnelEnds;
using Texts = std::vector<std::string>;

const TunnelEnds kEnds{"10.1.0.0/16", "10.2.0.0/16", "192.0.2.1", "192.0.2.2"};
const TunnelEnds kEnds6{"2001:db8:a::/64", "2001:db8:b::/64", "2001:db8::1", "2001:db8::2"};

Texts without(Texts all, const Texts& some) {
  for (const std::string& one : some) std::erase(all, one);
  return all;
}
std::size_t having(const Texts& all, const std::string& words) {
  return static_cast<std::size_t>(std::ranges::count_if(
      all, [&](const std::string& one) { return one.find(words) != std::string::npos; }));
}

class Install : public testing::Test {
 protected:
  Install() {
    ip({"policy", "add", "src", "10.9.0.0/16", "dst", "10.2.0.0/16", "dir", "out"});
    ip({"policy", "add", "src", "10.1.0.0/16", "dst", "10.2.0.0/16", "dir", "out", "mark", "5",
        "priority", "3"});
    foreign_ = policies_in(netns_);
  }

  void ip(std::vector<std::string> words) const {
    words.insert(words.begin(), {"ip", "xfrm"});
    get(netns_.must(std::move(words)));
  }
  std::string state() const { return scratch_.file("installed"); }
  Installer open() const { return get(Installer::open(test::xfrm_socket(netns_), state())); }
  static TunnelSet set_of(const TunnelEnds& ends) { return {policies_of(ends), {}, {}}; }
  // Besides what was there before us.
  Texts ours() const { return without(policies_in(netns_), foreign_); }
  bool foreign_is_there() const {
    return policies_in(netns_).size() == ours().size() + foreign_.size();
  }

  Netns netns_ = get(Netns::create());
  test::Scratch scratch_ = get(test::Scratch::create());
  Texts foreign_;
};

TEST_F(Install, ThePoliciesAreThoseThatIpMakes) {
  Installer installer = open();
  get(installer.replace("four", set_of(kEnds)));
  get(installer.replace("six", set_of(kEnds6)));
  const Texts made = ours();
  EXPECT_EQ(made.size(), 6U);
  get(installer.remove("four"));
  get(installer.remove("six"));
  EXPECT_EQ(ours(), Texts());
  for (const TunnelEnds& ends : {kEnds, kEnds6}) {
    for (const Policy& policy : policies_of(ends)) {
      const bool out = policy.direction == Direction::out;
      const std::string direction =
          policy.direction == Direction::forward ? "fwd" : std::string(text(policy.direction));
      ip({"policy",
          "add",
          "src",
          policy.selector.source.text(),
          "dst",
          policy.selector.destination.text(),
          "dir",
          direction,
          "priority",
          "1000",
          "tmpl",
          "src",
          out ? ends.own : ends.peer,
          "dst",
          out ? ends.peer : ends.own,
          "proto",
          "esp",
          "reqid",
          "7",
          "mode",
          "tunnel"});
    }
  }
  // But for the index, which ip(8) leaves to the kernel.
  const auto without_index = [](Texts all) {
    for (std::string& one : all) {
      const std::size_t at = one.find(", index ");
      one.erase(at, one.find('\n', at) - at);
    }
    std::ranges::sort(all);
    return all;
  };
  EXPECT_EQ(without_index(made), without_index(ours()));
}

TEST_F(Install, AnotherSetTakesItsPlaceAndWhatStaysIsNotTouched) {
  Installer installer = open();
  get(installer.replace("a", set_of(kEnds)));
  const Texts before = ours();
  auto events = get(netns_.run([] {
    const std::array<std::uint32_t, 1> policies{XFRMNLGRP_POLICY};
    return netlink::EventSocket::open(NETLINK_XFRM, policies, 65536);
  }));
  get(installer.replace("a", set_of(kEnds)));
  EXPECT_EQ(ours(), before);
  EXPECT_FALSE(get(events.next([](const netlink::Message&) { return Result<void>(); })));

  TunnelSet other = set_of(kEnds);
  other.policies[0].templates[0].reqid = 8;    // in the place of its predecessor
  other.policies[1] = policies_of(kEnds6)[1];  // instead of it
  get(installer.replace("a", std::move(other)));
  const Texts after = ours();
  EXPECT_EQ(after.size(), 3U);
  EXPECT_EQ(without(before, after).size(), 2U) << "the third was not touched";
  EXPECT_EQ(having(after, "reqid 8"), 1U);
  EXPECT_EQ(having(after, "2001:db8:b::/64"), 1U);
  EXPECT_TRUE(foreign_is_there());
  get(installer.remove("a"));
  EXPECT_EQ(policies_in(netns_), foreign_);
  EXPECT_TRUE(installer.names().empty());
  EXPECT_NE(access(state().c_str(), F_OK), 0);
}

// A foreign policy stands where the k-th of the set belongs.
TEST_F(Install, IsUndoneWhenTheKernelRefusesAnyPolicy) {
  Installer installer = open();
  get(installer.replace("a", set_of(kEnds)));
  const Texts before = policies_in(netns_);
  TunnelSet wanted = set_of(kEnds6);
  for (Policy changed : policies_of(kEnds)) {
    changed.templates[0].reqid = 8;
    wanted.policies.push_back(changed);
  }
  for (std::size_t k = 0; k < 3; ++k) {
    const Policy& taken = wanted.policies[k];
    const std::vector<std::string> place{
        "src", taken.selector.source.text(),
        "dst", taken.selector.destination.text(),
        "dir", taken.direction == Direction::forward ? "fwd" : std::string(text(taken.direction))};
    std::vector<std::string> words{"policy", "add"};
    words.insert(words.end(), place.begin(), place.end());
    ip(words);
    const Texts with_it = policies_in(netns_);
    const auto refused = installer.replace("a", {wanted.policies, {}, {}});
    ASSERT_FALSE(refused.ok()) << k;
    EXPECT_EQ(refused.error().kind(), ErrorKind::exists);
    EXPECT_NE(refused.error().message().find("not ours"), std::string::npos)
        << refused.error().message();
    EXPECT_EQ(policies_in(netns_), with_it) << k;
    words[1] = "delete";
    ip(words);
  }
  EXPECT_EQ(policies_in(netns_), before);
  get(installer.replace("a", std::move(wanted)));
  EXPECT_EQ(ours().size(), 6U);
}

TEST_F(Install, LeavesForeignPoliciesInItsPlace) {
  Installer installer = open();
  get(installer.replace("a", set_of(kEnds)));
  ip({"policy", "flush"});
  ip({"policy", "add", "src", "10.1.0.0/16", "dst", "10.2.0.0/16", "dir", "out", "priority", "9"});
  const Texts theirs = policies_in(netns_);
  EXPECT_FALSE(installer.replace("a", set_of(kEnds)).ok());
  EXPECT_EQ(policies_in(netns_), theirs);
  get(installer.remove("a"));
  EXPECT_EQ(policies_in(netns_), theirs);
}

TEST_F(Install, OneAtATimeHasTheFile) {
  const Installer first = open();
  const auto second = Installer::open(test::xfrm_socket(netns_), state());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
}

TEST_F(Install, WhatAnEarlierBootHadIsForgotten) {
  get(open().replace("a", set_of(kEnds)));
  EXPECT_FALSE(open().names().empty());
  get(netns_.must({"sed", "-i", "1s/ 1 ./ 1 x/", state()}));
  EXPECT_TRUE(open().names().empty());
  get(netns_.must({"truncate", "-s", "-3", state()}));
  const auto broken = Installer::open(test::xfrm_socket(netns_), state());
  ASSERT_FALSE(broken.ok());
  EXPECT_NE(broken.error().message().find("remove the file"), std::string::npos);
}

TEST_F(Install, ASetThatCannotBeIsRefusedBeforeAnything) {
  Installer installer = open();
  TunnelSet twice = set_of(kEnds);
  twice.policies.push_back(twice.policies[0]);
  TunnelSet broken = set_of(kEnds);
  broken.policies[2].security_context = "x";
  TunnelSet kept = set_of(kEnds);
  kept.kept.push_back({get(Address::parse("192.0.2.2")), 1, IPPROTO_ESP, {}});
  for (TunnelSet* set : {&twice, &broken, &kept}) {
    EXPECT_FALSE(installer.replace("a", std::move(*set)).ok());
    EXPECT_EQ(policies_in(netns_), foreign_);
  }
  EXPECT_FALSE(installer.replace("a b", set_of(kEnds)).ok());
  EXPECT_TRUE(installer.names().empty());
}

TEST_F(Install, AnSaThatTheKernelRefusesIsNamedAndNothingStays) {
  Sa sa;
  sa.id = {get(Address::parse("192.0.2.2")), 0x1000, IPPROTO_ESP, {}};
  sa.source = get(Address::parse("192.0.2.1"));
  sa.mode = Mode::tunnel;
  sa.selector.any_family = true;
  sa.reqid = 7;
  sa.replay.window = 64;
  sa.aead = Algorithm{"rfc4106(gcm(nosuch))", 288, 128};
  TunnelSet set = set_of(kEnds);
  test::MemorySearch search(36);
  SecretBytes keys = get(SecretBytes::create(36));
  test::write_key(keys.bytes());
  set.sas.push_back({sa, std::move(keys)});
  EXPECT_EQ(search.count(), 1);
  const auto refused = open().replace("a", std::move(set));
  EXPECT_EQ(search.count(), 0) << "a key that was refused stays in memory";
  ASSERT_FALSE(refused.ok());
  const std::string words = refused.error().message();
  EXPECT_NE(words.find("ESP 192.0.2.1 → 192.0.2.2 SPI 0x00001000"), std::string::npos) << words;
  EXPECT_NE(words.find("modprobe"), std::string::npos) << words;
  EXPECT_EQ(policies_in(netns_), foreign_);
  EXPECT_TRUE(open().names().empty());
}

TEST_F(Install, KilledAtAnyPointLeavesNoGapAndIsTakenOutByItsSuccessor) {
  TunnelSet second = set_of(kEnds6);
  for (Policy changed : policies_of(kEnds)) {
    changed.templates[0].reqid = 8;
    second.policies.push_back(changed);
  }
  bool ended = false;
  int points = 0;
  for (int n = 0; !ended; ++n) {
    get(open().replace("a", set_of(kEnds)));
    ended = !netns_.run([&] {
      return test::killed_before(n, [&] {
        auto installer = Installer::open(get(open_socket()), state());
        if (!installer.ok()) _exit(1);
        if (!installer->replace("a", {second.policies, {}, {}}).ok()) _exit(1);
      });
    });
    const Texts now = ours();
    // Whoever comes from our network is encrypted, as before or as after.
    ASSERT_EQ(having(now, "policy out 10.1.0.0/16 → 10.2.0.0/16\n"), 1U) << n;
    ASSERT_EQ(having(now, "policy in 10.2.0.0/16 → 10.1.0.0/16\n"), 1U) << n;
    ASSERT_TRUE(foreign_is_there()) << n;
    if (n % 2 == 0) get(open().replace("a", {second.policies, {}, {}}));
    if (n % 2 == 0) {
      ASSERT_EQ(ours().size(), 6U) << n;
    }
    get(open().remove("a"));
    ASSERT_EQ(policies_in(netns_), foreign_) << n;
    ++points;
  }
  EXPECT_GT(points, 30);
}

class OnBothFamilies : public testing::TestWithParam<test::Family> {
 protected:
  static bool ipv6() { return GetParam() == test::Family::v6; }
  static std::string address(bool a) {
    const std::size_t at = ipv6() ? 1 : 0;
    return a ? test::kAddressesA.at(at) : test::kAddressesB.at(at);
  }
  static sockaddr_storage at(bool a, std::uint16_t port) {
    sockaddr_storage out{};
    if (ipv6()) {
      auto& to = reinterpret_cast<sockaddr_in6&>(out);
      to.sin6_family = AF_INET6;
      to.sin6_port = htons(port);
      inet_pton(AF_INET6, address(a).c_str(), &to.sin6_addr);
    } else {
      auto& to = reinterpret_cast<sockaddr_in&>(out);
      to.sin_family = AF_INET;
      to.sin_port = htons(port);
      inet_pton(AF_INET, address(a).c_str(), &to.sin_addr);
    }
    return out;
  }
  static UniqueFd socket(const Netns& netns, bool v6_only = true) {
    return netns.run([&] {
      UniqueFd fd(::socket(ipv6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      const int only = v6_only ? 1 : 0;
      if (ipv6()) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
      return fd;
    });
  }
  UniqueFd receiver() const {
    UniqueFd fd = socket(pair_.b);
    const sockaddr_storage here = at(false, 7777);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&here), sizeof(here)), 0);
    return fd;
  }
  // 0, or why the kernel does not send it.
  static int send(const UniqueFd& fd, std::uint32_t mark = 0) {
    setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
    const sockaddr_storage to = at(false, 7777);
    const ssize_t sent =
        sendto(fd.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    return sent == 1 ? 0 : errno;
  }
  static bool arrives(const UniqueFd& fd, std::chrono::milliseconds limit = test::kPatience) {
    pollfd waited{fd.get(), POLLIN, 0};
    char byte = 0;
    return poll(&waited, 1, static_cast<int>(limit.count())) == 1 &&
           recv(fd.get(), &byte, 1, 0) == 1;
  }
  // Not IPv6's neighbour discovery, without which nothing passes.
  static Policy all_of(Direction direction) {
    Policy policy;
    policy.direction = direction;
    policy.selector.protocol = IPPROTO_UDP;
    policy.selector.source = get(Prefix::parse(ipv6() ? "2001:db8::/64" : "192.0.2.0/24"));
    policy.selector.destination = policy.selector.source;
    policy.priority = 100;
    return policy;
  }

  test::Pair pair_ = get(test::make_pair());
  test::Scratch scratch_ = get(test::Scratch::create());
};

TEST_P(OnBothFamilies, ADeniedPeerIsBlockedWhateverTheMarkAndBesideItsPolicies) {
  Installer a = get(Installer::open(test::xfrm_socket(pair_.a), scratch_.file("a")));
  const std::vector<Policy> open{all_of(Direction::out)};
  get(a.replace("tunnel", {open, {}, {}}));
  const Texts before = policies_in(pair_.a);
  const UniqueFd sender = socket(pair_.a);
  ASSERT_EQ(send(sender), 0);
  get(a.replace("denied", {get(block_policies(open)), {}, {}}));
  for (const std::uint32_t mark : {0U, 1U, 2U, ~0U}) EXPECT_EQ(send(sender, mark), EPERM) << mark;
  EXPECT_EQ(without(before, policies_in(pair_.a)), Texts()) << "the tunnel's own are still there";
  get(a.remove("denied"));
  for (const std::uint32_t mark : {0U, 1U, 2U, ~0U}) EXPECT_EQ(send(sender, mark), 0) << mark;
  EXPECT_EQ(policies_in(pair_.a), before);
}

TEST_P(OnBothFamilies, ASocketBesideIpsecSendsAndReceivesWhatPoliciesBlock) {
  Installer a = get(Installer::open(test::xfrm_socket(pair_.a), scratch_.file("a")));
  const UniqueFd sender = socket(pair_.a);
  const UniqueFd far = receiver();
  ASSERT_EQ(send(sender), 0);
  ASSERT_TRUE(arrives(far));

  Policy out = all_of(Direction::out);
  out.action = Action::block;
  get(a.replace("out", {{out}, {}, {}}));
  EXPECT_EQ(send(sender), EPERM);
  get(bypass_xfrm(sender.get()));
  EXPECT_EQ(send(sender), 0);
  EXPECT_TRUE(arrives(far));

  const test::Scratch other = get(test::Scratch::create());
  Installer b = get(Installer::open(test::xfrm_socket(pair_.b), other.file("b")));
  Policy in = all_of(Direction::in);
  in.action = Action::block;
  get(b.replace("in", {{in}, {}, {}}));
  EXPECT_EQ(send(sender), 0);
  EXPECT_FALSE(arrives(far, test::kSilence));
  get(bypass_xfrm(far.get()));
  EXPECT_EQ(send(sender), 0);
  EXPECT_TRUE(arrives(far));
}

TEST_P(OnBothFamilies, ASocketOfBothFamiliesOrNoneIsRefused) {
  const UniqueFd both = socket(pair_.a, false);
  EXPECT_EQ(bypass_xfrm(both.get()).ok(), !ipv6());
  const UniqueFd unix_socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(bypass_xfrm(unix_socket.get()).ok());
  EXPECT_FALSE(bypass_xfrm(-1).ok());
}

INSTANTIATE_TEST_SUITE_P(Families, OnBothFamilies,
                         testing::Values(test::Family::v4, test::Family::v6), [](const auto& test) {
                           return test.param == test::Family::v4 ? "v4" : "v6";
                         });

}  // namespace
}  // namespace cs::xfrm
