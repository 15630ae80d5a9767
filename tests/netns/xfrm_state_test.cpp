// SPDX-License-Identifier: GPL-3.0-or-later
// What this machine's kernel tells of its IPsec, held against what ip was told to do. It has
// policies; SAs with real algorithms are the lab's.
#include <gtest/gtest.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/netns/environment.h"
#include "tests/support/scratch.h"
#include "tests/support/unwrap.h"
#include "tools/xfrm/show.h"
#include "xfrm/state/kernel.h"
#include "xfrm/state/message.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using test::get;
using test::Netns;

class Kernel : public testing::Test {
 protected:
  void ip(const std::string& words) const {
    std::vector<std::string> argv{"ip", "xfrm", "policy"};
    std::istringstream in(words);
    for (std::string word; in >> word;) argv.push_back(word);
    get(netns_.must(argv));
  }
  State state() const {
    return netns_.run([] {
      netlink::Socket socket = get(open_socket());
      return get(read_state(socket));
    });
  }
  Policy only() const {
    State all = state();
    EXPECT_EQ(all.policies.size(), 1U);
    return all.policies.at(0);
  }
  std::string shown(bool json) const {
    return netns_.run([&] {
      std::ostringstream out;
      std::ostringstream err;
      EXPECT_EQ(show({{}, json}, out, err), inspect::Outcome::good) << err.str();
      return out.str();
    });
  }
  // What the kernel told since, in words.
  static std::vector<std::string> told(netlink::EventSocket& events) {
    std::vector<std::string> words;
    while (get(events.next([&](const netlink::Message& message) -> Result<void> {
      CS_TRY(const Event event, parse_event(message));
      words.push_back(std::string(text(event.kind)) +
                      (event.policy ? " " + name_of(*event.policy) : ""));
      return {};
    }))) {
    }
    return words;
  }

  Netns netns_ = get(Netns::create());
};

TEST_F(Kernel, TellsAPolicyAsItWasMade) {
  ip("add src 10.1.0.0/16 dst 10.2.0.0/16 proto tcp sport 80 dport 443 dir out priority 77 "
     "mark 0x10 mask 0xf0 if_id 0x2a flag icmp "
     "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 reqid 5 mode tunnel "
     "tmpl proto ah reqid 6 mode transport level use");
  const Policy policy = only();
  EXPECT_EQ(name_of(policy), "policy out 10.1.0.0/16 → 10.2.0.0/16 tcp port 80 → 443");
  EXPECT_EQ(policy.priority, 77U);
  EXPECT_EQ(policy.mark, (Mark{0x10, 0xf0}));
  EXPECT_EQ(policy.interface_id, 0x2aU);
  EXPECT_EQ(policy.flags, Policy::flag_icmp);
  ASSERT_EQ(policy.templates.size(), 2U);
  EXPECT_EQ(policy.templates[0].destination.text(), "192.0.2.2");
  EXPECT_EQ(policy.templates[0].spi, 0x100U);
  EXPECT_EQ(policy.templates[0].reqid, 5U);
  EXPECT_FALSE(policy.templates[0].optional);
  EXPECT_EQ(policy.templates[1].protocol, IPPROTO_AH);
  EXPECT_EQ(policy.templates[1].mode, Mode::transport);
  EXPECT_TRUE(policy.templates[1].optional);
  EXPECT_EQ(policy.unknown.size(), 0U);
}

TEST_F(Kernel, TellsBothFamiliesAllDirectionsAndABlock) {
  for (const char* direction : {"in", "fwd", "out"}) {
    ip(std::string("add src 2001:db8:1::/64 dst 2001:db8:2::/63 dir ") + direction +
       " action block");
  }
  const State all = state();
  ASSERT_EQ(all.policies.size(), 3U);
  std::vector<std::string> names;
  for (const Policy& policy : all.policies) {
    EXPECT_EQ(policy.action, Action::block);
    names.push_back(name_of(policy));
  }
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "policy fwd 2001:db8:1::/64 → 2001:db8:2::/63",
                       "policy in 2001:db8:1::/64 → 2001:db8:2::/63",
                       "policy out 2001:db8:1::/64 → 2001:db8:2::/63",
                   }));
}

TEST_F(Kernel, TellsTheBypassOfASocket) {
  const UniqueFd fd =
      netns_.run([] { return UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
  xfrm_userpolicy_info bypass{};
  bypass.sel.family = AF_INET;
  bypass.dir = XFRM_POLICY_OUT;
  bypass.action = XFRM_POLICY_ALLOW;
  ASSERT_EQ(::setsockopt(fd.get(), IPPROTO_IP, IP_XFRM_POLICY, &bypass, sizeof(bypass)), 0);
  const Policy policy = only();
  EXPECT_EQ(name_of(policy), "policy socket out 0.0.0.0/0 → 0.0.0.0/0");
  EXPECT_TRUE(policy.is_of_socket());
}

TEST_F(Kernel, TellsDefaultsAndSwitches) {
  const auto switches_of = [](const State& all, std::string_view name) {
    const auto found = std::ranges::find(all.interfaces, name, &InterfaceSwitches::name);
    return found == all.interfaces.end() ? InterfaceSwitches() : *found;
  };
  get(netns_.must({"ip", "link", "add", "guarded", "type", "veth", "peer", "name", "other"}));
  EXPECT_EQ(state().defaults, Defaults{});
  EXPECT_EQ(switches_of(state(), "guarded"), (InterfaceSwitches{"guarded", false, false, false}));
  ip("setdefault in block out accept fwd block");
  get(netns_.write_sysctl("net/ipv4/conf/guarded/disable_xfrm", "1"));
  get(netns_.write_sysctl("net/ipv6/conf/guarded/disable_policy", "1"));
  EXPECT_EQ(state().defaults, (Defaults{Action::block, Action::block, Action::allow}));
  EXPECT_EQ(switches_of(state(), "guarded"), (InterfaceSwitches{"guarded", true, false, true}));
  EXPECT_NE(shown(false).find("interface guarded: disable_xfrm, what leaves by it is not"),
            std::string::npos);
}

TEST_F(Kernel, TellsThousandsOfPolicies) {
  constexpr std::size_t count = 3000;
  const test::Scratch scratch = get(test::Scratch::create());
  std::ofstream batch(scratch.file("batch"));
  for (std::size_t i = 0; i < count; ++i) {
    batch << "xfrm policy add dir out src 10.0.0.0/8 dst 10." << i / 256 << "." << i % 256
          << ".0/24\n";
  }
  batch.close();
  get(netns_.must({"ip", "-batch", scratch.file("batch")}));
  EXPECT_EQ(state().policies.size(), count);
  const auto json = nlohmann::json::parse(shown(true));
  EXPECT_EQ(json.at("policies").size(), count);
  EXPECT_EQ(json.at("complete"), true);
}

TEST_F(Kernel, TellsWhatHappens) {
  const std::vector<std::uint32_t> groups{XFRMNLGRP_POLICY};
  netlink::EventSocket events = get(netns_.run(
      [&] { return netlink::EventSocket::open(NETLINK_XFRM, groups, std::size_t{1} << 20U); }));
  EXPECT_EQ(told(events), std::vector<std::string>{});
  const std::string one = "src 10.1.0.0/16 dst 10.2.0.0/16 dir out ";
  ip("add " + one);
  ip("update " + one + "priority 3");
  ip("delete " + one);
  ip("add " + one);
  ip("flush");
  ip("setdefault in block");
  const std::string name = " policy out 10.1.0.0/16 → 10.2.0.0/16";
  EXPECT_EQ(told(events), (std::vector<std::string>{"policy new" + name, "policy updated" + name,
                                                    "policy deleted" + name, "policy new" + name,
                                                    "policies flushed", "default policy"}));
}

TEST_F(Kernel, SaysThatEventsWereLost) {
  const std::vector<std::uint32_t> groups{XFRMNLGRP_POLICY};
  netlink::EventSocket events =
      get(netns_.run([&] { return netlink::EventSocket::open(NETLINK_XFRM, groups, 4096); }));
  for (int i = 0; i < 100; ++i) ip("update src 10.1.0.0/16 dst 10.2.0.0/16 dir out");
  const auto ignore = [](const netlink::Message&) { return Result<void>(); };
  bool lost = false;
  for (auto next = events.next(ignore); !next.ok() || *next; next = events.next(ignore)) {
    if (!next.ok()) {
      ASSERT_EQ(next.error().os_error(), ENOBUFS);
      lost = true;
    }
  }
  EXPECT_TRUE(lost);
  ip("flush");
  EXPECT_EQ(told(events), std::vector<std::string>{"policies flushed"});
}

TEST_F(Kernel, IsShownInWordsAndInJson) {
  ip("add src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 5 "
     "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 5 mode tunnel");
  const std::string words = shown(false);
  EXPECT_EQ(words.find("policy out 10.1.0.0/16 → 10.2.0.0/16\n"
                       "    allow, priority 5, index "),
            0U)
      << words;
  EXPECT_NE(words.find("\n1 policies, 0 SAs\n"), std::string::npos) << words;
  const auto json = nlohmann::json::parse(shown(true));
  EXPECT_EQ(json.at("policies").at(0).at("templates").at(0).at("destination"), "192.0.2.2");
  EXPECT_EQ(json.at("sas").size(), 0U);
  EXPECT_EQ(json.at("default_policy").at("in"), "allow");
}

}  // namespace
}  // namespace cs::xfrm
