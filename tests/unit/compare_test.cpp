// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/agreement/compare.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>

#include "tests/unit/agreement_samples.h"

namespace cs::xfrm {
namespace {

using test::address;
using test::get;
using test::network;
using test::sample_agreement;
using test::state_of;

struct World {
  Agreement agreement = sample_agreement();
  End end = End::left;
  State state;
  Known known;
};

// Policies of the sample's left end, by position: out, in, forward.
constexpr std::size_t out = 0;
constexpr std::size_t in = 1;
constexpr std::size_t sa_in = 0;
constexpr std::size_t sa_out = 1;

Policy& add_policy(World& w, std::size_t like, std::string_view source,
                   std::string_view destination, std::uint32_t priority) {
  w.state.policies.push_back(w.state.policies[like]);
  Policy& added = w.state.policies.back();
  added.selector.source = network(source).network;
  added.selector.destination = network(destination).network;
  added.priority = priority;
  return added;
}

Policy& add_socket_policy(World& w) {
  Policy& added = add_policy(w, out, "0.0.0.0/0", "0.0.0.0/0", 0);
  added.direction = Direction::socket_out;
  added.templates.clear();
  return added;
}

std::vector<Difference> differences(const World& w) {
  return compare(get(expect(w.agreement, w.end)), w.state, w.known);
}

std::string told(const std::vector<Difference>& found) {
  std::string all;
  for (const Difference& one : found) {
    all += std::string(meaning(one.code).name) + ": " + one.sentence + "\n";
  }
  return all;
}

using Change = std::function<void(World&)>;
using Agreed = std::function<void(Agreement&)>;

struct Case {
  Code code;
  const char* says;
  Change change;
  Agreed agreed = [](Agreement&) {};
};

// For each code, what brings it about.
std::vector<Case> policy_cases() {
  const auto marked = [](Agreement& a) { a.tunnels[0].inbound_policy_mark = {0x10000, 0x10000}; };
  return {
      {Code::policy_missing, "policy out 10.1.0.0/16 → 10.2.0.0/16 is missing",
       [](World& w) { w.state.policies.erase(w.state.policies.begin()); }},
      {Code::policy_narrowed, "is narrowed to 10.1.0.0/17 → 10.2.0.0/16",
       [](World& w) { w.state.policies[out].selector.source.length = 17; }},
      {Code::policy_widened, "is widened to 10.2.0.0/16 → 10.0.0.0/8",
       [](World& w) { w.state.policies[in].selector.destination = network("10.0.0.0/8").network; }},
      {Code::policy_in_clear, "policy out 10.1.0.0/16 → 10.2.0.0/16 has no template",
       [](World& w) { w.state.policies[out].templates.clear(); }},
      {Code::policy_blocks, "blocks what it should let pass",
       [](World& w) { w.state.policies[out].action = Action::block; }},
      {Code::policy_templates, "has 2 templates where one is agreed",
       [](World& w) {
         Template compressed = w.state.policies[out].templates[0];
         compressed.protocol = 108;
         w.state.policies[out].templates.insert(w.state.policies[out].templates.begin(),
                                                compressed);
       }},
      {Code::template_protocol, "takes AH where ESP is agreed",
       [](World& w) { w.state.policies[out].templates[0].protocol = 51; }},
      {Code::template_mode, "is in beet mode where tunnel is agreed",
       [](World& w) { w.state.policies[out].templates[0].mode = Mode::beet; }},
      {Code::template_endpoints, "goes from 192.0.2.1 → 192.0.2.9 where 192.0.2.1 → 192.0.2.2",
       [](World& w) { w.state.policies[out].templates[0].destination = address("192.0.2.9"); }},
      {Code::template_optional, "optional template (level use)",
       [](World& w) { w.state.policies[in].templates[0].optional = true; }},
      {Code::template_algorithms, "masks of its own",
       [](World& w) { w.state.policies[in].templates[0].encryptions = 1; }},
      {Code::policy_mark, "has the mark 0x1/0x1 where 0x0/0x0 is agreed",
       [](World& w) {
         w.state.policies[out].mark = {1, 1};
       }},
      {Code::policy_mark_gap, "holds only for the mark 0x10000/0x10000", [](World&) {}, marked},
      {Code::policy_interface_id, "has if_id 3 where 0 is agreed",
       [](World& w) { w.state.policies[out].interface_id = 3; }},
      {Code::policy_flags, "has flags that are not agreed: 2",
       [](World& w) { w.state.policies[in].flags = Policy::flag_icmp; }},
      {Code::policy_offload, "is given to a network card",
       [](World& w) {
         w.state.policies[out].offload = Offload{2, 4};
       }},
      {Code::policy_context, "only for the security context",
       [](World& w) { w.state.policies[out].security_context = "system_u"; }},
      {Code::policy_expires, "will expire",
       [](World& w) { w.state.policies[out].lifetime.hard_seconds = 60; }},
      {Code::policy_attribute, "does not know: 77",
       [](World& w) {
         w.state.policies[out].unknown = {{77, {1}}};
       }},
      {Code::policy_duplicate, "a second policy out 10.1.0.0/16 → 10.2.0.0/16 is never reached",
       [](World& w) { add_policy(w, out, "10.1.0.0/16", "10.2.0.0/16", 400'000); }},
      {Code::policy_order, "goes before policy out 10.1.5.0/24",
       [](World& w) { w.state.policies[out].priority = 400'000; },
       [](Agreement& a) {
         a.tunnels.push_back(a.tunnels[0]);
         a.tunnels[0].name = "wide";
         a.tunnels[1].ends[0].traffic = {network("10.1.5.0/24")};
       }},
      {Code::policy_bypass,
       "an extra `allow` policy out 10.1.5.0/24 → 0.0.0.0/0 with higher priority (7) bypasses the "
       "tunnel: it takes part of policy out 10.1.0.0/16 → 10.2.0.0/16",
       [](World& w) { add_policy(w, out, "10.1.5.0/24", "0.0.0.0/0", 7).templates.clear(); }},
      {Code::policy_shadowed, "shadows all of policy out",
       [](World& w) {
         add_policy(w, out, "0.0.0.0/0", "0.0.0.0/0", 7).templates[0].destination =
             address("203.0.113.1");
       }},
      {Code::policy_blocked, "blocks part of policy in",
       [](World& w) { add_policy(w, in, "10.2.5.0/24", "0.0.0.0/0", 7).action = Action::block; }},
      {Code::policy_extra,
       "an extra policy in 172.16.0.0/12 → 10.1.0.0/16 leads through the tunnel",
       [](World& w) { add_policy(w, in, "172.16.0.0/12", "10.1.0.0/16", 400'000); }},
      {Code::policy_extra, "an extra policy fwd 10.2.0.0/16 → 10.1.0.0/16 leads through the tunnel",
       [](World& w) {
         add_policy(w, in, "10.2.0.0/16", "10.1.0.0/16", 200'000).direction = Direction::forward;
       },
       [](Agreement& a) { a.tunnels[0].forwards = false; }},
      {Code::policy_sub, "is of type sub",
       [](World& w) {
         add_policy(w, out, "10.1.0.0/16", "10.2.0.0/16", 1).type = PolicyType::sub;
       }},
      {Code::bypass_missing, "policy out 10.1.1.0/24 → 10.2.1.0/24 is missing",
       [](World& w) { w.state.policies.erase(w.state.policies.begin()); },
       [](Agreement& a) {
         a.bypasses = {{"lan", End::left, network("10.1.1.0/24"), network("10.2.1.0/24")}};
       }},
  };
}

std::vector<Case> other_cases() {
  return {
      {Code::socket_bypass, "1 policies of sockets let everything pass in clear, 0 are",
       [](World& w) { add_socket_policy(w); }},
      {Code::socket_block, "blocks", [](World& w) { add_socket_policy(w).action = Action::block; }},
      {Code::socket_other, "neither of the IKE daemon nor of keymsd",
       [](World& w) { add_socket_policy(w).selector.source.length = 8; }},
      {Code::default_policy, "the default policy fwd is allow where block is agreed",
       [](World& w) { w.state.defaults.reset(); },
       [](Agreement& a) { a.defaults.forward = Action::block; }},
      {Code::disable_xfrm, "disable_xfrm is set on interface eth0",
       [](World& w) {
         w.state.interfaces.push_back({"eth0", true, false, false});
       }},
      {Code::disable_policy, "disable_policy is set on interface all for IPv6",
       [](World& w) { w.state.interfaces[0].disable_policy_ipv6 = true; }},
      {Code::sa_missing, "there is no SA in",
       [](World& w) { w.state.sas.erase(w.state.sas.begin()); }},
      {Code::sa_endpoints, "has the peer at one end",
       [](World& w) {
         w.state.sas.push_back(w.state.sas[sa_in]);
         w.state.sas.back().id.destination = address("192.0.2.77");
       }},
      {Code::sa_protocol, "is AH where ESP is agreed",
       [](World& w) { w.state.sas[sa_out].id.protocol = 51; }},
      {Code::sa_mode, "is in transport mode where tunnel is agreed",
       [](World& w) { w.state.sas[sa_out].mode = Mode::transport; }},
      {Code::sa_algorithm,
       "uses cbc(aes) 128 bit with hmac(sha256) 256 bit, ICV 128 where rfc4106(gcm(aes)) 288 bit, "
       "ICV 128 is agreed",
       [](World& w) {
         const Proposal other = get(parse_proposal("aes128-sha256"));
         Sa& sa = w.state.sas[sa_out];
         sa.aead.reset();
         sa.encryption = other.encryption;
         sa.authentication = other.authentication;
       }},
      {Code::sa_sequence_numbers, "uses extended sequence numbers",
       [](World& w) { w.state.sas[sa_in].replay.extended = true; },
       [](Agreement& a) { a.tunnels[0].extended_sequence_numbers = Use::forbidden; }},
      {Code::sa_replay_window, "has a replay window of 0 where 32 is the least",
       [](World& w) { w.state.sas[sa_in].replay.window = 0; }},
      {Code::sa_udp, "does without encapsulation in UDP",
       [](World& w) { w.state.sas[sa_in].encapsulation.reset(); },
       [](Agreement& a) { a.tunnels[0].udp_encapsulation = Use::required; }},
      {Code::sa_mark, "has the mark 0x0/0x0 where 0x10000/0x10000 is agreed",
       [](World& w) { w.state.sas[sa_in].id.mark = {}; }},
      {Code::sa_output_mark, "has the output mark 0x0/0x0",
       [](World& w) { w.state.sas[sa_out].output_mark = {}; }},
      {Code::sa_interface_id, "has if_id 2 where 0 is agreed",
       [](World& w) { w.state.sas[sa_out].interface_id = 2; }},
      {Code::sa_lifetime, "has no time limit where 3600 s is agreed",
       [](World& w) { w.state.sas[sa_out].lifetime.hard_seconds = 0; },
       [](Agreement& a) { a.tunnels[0].most_seconds = 3600; }},
      {Code::sa_flags, "has flags that are not agreed: 8",
       [](World& w) { w.state.sas[sa_in].flags = Sa::flag_wild_receive; }},
      {Code::sa_selector, "takes only 10.2.0.1/32 → 10.1.0.0/16",
       [](World& w) {
         Selector& s = w.state.sas[sa_in].selector;
         s.any_family = false;
         s.source = network("10.2.0.1/32").network;
         s.destination = network("10.1.0.0/16").network;
       }},
      {Code::sa_direction, "is made for the other direction",
       [](World& w) { w.state.sas[sa_in].direction = SaDirection::out; }},
      {Code::sa_offload, "is given to a network card",
       [](World& w) { w.state.sas[sa_in].offload = Offload{}; }},
      {Code::sa_attribute, "does not know: 99",
       [](World& w) {
         w.state.sas[sa_in].unknown = {{99, {}}};
       }},
      {Code::too_many, "more than 1000 differences",
       [](World& w) {
         for (std::uint8_t i = 0; i < 11; ++i) {
           for (std::uint8_t j = 0; j < 100; ++j) {
             Policy& p = add_policy(w, out, "10.1.5.0/24", "0.0.0.0/0", 7);
             p.selector.source.address.bytes[2] = i;
             p.selector.source.address.bytes[3] = j;
             p.selector.source.length = 32;
             p.templates.clear();
           }
         }
       }},
  };
}

TEST(Compare, EachDifferenceIsToldInItsWords) {
  std::set<Code> covered;
  for (const auto& cases : {policy_cases(), other_cases()}) {
    for (const Case& one : cases) {
      SCOPED_TRACE(meaning(one.code).name);
      World w;
      one.agreed(w.agreement);
      w.state = state_of(get(expect(w.agreement, w.end)));
      one.change(w);
      const auto found = differences(w);
      const auto of_code = std::find_if(found.begin(), found.end(),
                                        [&](const Difference& d) { return d.code == one.code; });
      ASSERT_NE(of_code, found.end()) << told(found);
      EXPECT_NE(of_code->sentence.find(one.says), std::string::npos) << of_code->sentence;
      // Nothing else is told, but what one change does in several places.
      for (const Difference& d : found) {
        EXPECT_TRUE(d.code == one.code || one.code == Code::too_many) << told(found);
      }
      covered.insert(one.code);
    }
  }
  // Those of the reconciler have theirs in watcher_test.cpp.
  covered.insert({Code::sa_unknown, Code::ike_silent});
  EXPECT_EQ(covered.size(), code_count) << "a code has no case";
}

TEST(Compare, EveryCodeHasANameAHintAndItsRowInTheDocument) {
  std::ifstream file(CS_XFRM_DOCUMENT);
  const std::string document((std::istreambuf_iterator<char>(file)), {});
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < code_count; ++i) {
    const Meaning& one = meaning(static_cast<Code>(i));
    EXPECT_FALSE(one.hint.empty());
    EXPECT_TRUE(!one.name.empty() && names.insert(one.name).second) << one.name;
    const std::string row =
        "| `" + std::string(one.name) + "` | " + std::string(text(one.severity)) + " | ";
    EXPECT_NE(document.find(row), std::string::npos) << "docs/XFRM.md lacks " << row;
  }
}

// Both ends of many agreements, each with its policies listed in another order.
TEST(Compare, AStateAsExpectedHasNoDifference) {
  constexpr unsigned seed = 7;
  std::mt19937 random(seed);
  for (int round = 0; round < 400; ++round) {
    const Agreement agreement = test::random_agreement(random);
    for (const End end : {End::left, End::right}) {
      const Expected expected = get(expect(agreement, end));
      State state = state_of(expected);
      std::shuffle(state.policies.begin(), state.policies.end(), random);
      std::shuffle(state.sas.begin(), state.sas.end(), random);
      EXPECT_EQ(told(compare(expected, state, {})), "") << "seed " << seed << " round " << round;
    }
  }
}

TEST(Compare, WhatIsAsGoodIsNoDifference) {
  World w;
  w.agreement.tunnels[0].inbound_policy_mark = w.agreement.tunnels[0].inbound_mark;
  w.state = state_of(get(expect(w.agreement, w.end)));
  // A block policy beneath closes what the mark leaves open; others' tunnels are their business.
  for (const Direction direction : {Direction::in, Direction::forward}) {
    Policy& block = add_policy(w, in, "10.2.0.0/16", "10.1.0.0/16", 900'000);
    block.direction = direction;
    block.action = Action::block;
    block.mark = {};
    block.templates.clear();
  }
  Policy& foreign = add_policy(w, out, "172.16.0.0/12", "172.31.0.0/16", 1);
  foreign.templates[0].destination = address("203.0.113.1");
  w.state.sas[sa_out].replay.window = 0;
  w.state.sas[sa_in].flags = Sa::flag_any_family | Sa::flag_no_pmtu_discovery;
  Sa elsewhere = w.state.sas[sa_out];
  elsewhere.id.destination = address("203.0.113.1");
  w.state.sas.push_back(elsewhere);
  Sa larval = w.state.sas[sa_in];
  larval.aead.reset();
  w.state.sas.push_back(larval);
  w.known.socket_bypasses = 1;
  add_socket_policy(w);
  w.state.defaults = Defaults{Action::block, Action::block, Action::block};
  EXPECT_EQ(told(differences(w)), "");
}

TEST(Compare, ABlockBeneathDoesNotHelpWhereSomethingGoesBeforeIt) {
  World w;
  w.agreement.tunnels[0].inbound_policy_mark = w.agreement.tunnels[0].inbound_mark;
  w.agreement.tunnels[0].forwards = false;
  w.agreement.defaults.in = Action::block;
  w.state = state_of(get(expect(w.agreement, w.end)));
  EXPECT_EQ(told(differences(w)), "");
  Policy& lax = add_policy(w, in, "10.2.3.0/24", "0.0.0.0/0", 900'000);
  lax.mark = {};
  lax.templates.clear();
  EXPECT_NE(told(differences(w)).find("policy-mark-gap"), std::string::npos);
}

TEST(Compare, APeerBehindNatIsWhoThePolicySays) {
  World w;
  w.agreement.tunnels[0].ends[1].address.reset();
  w.state = state_of(get(expect(w.agreement, w.end)));
  Sa other = w.state.sas[sa_out];
  other.id.destination = address("203.0.113.1");
  other.output_mark = {};
  w.state.sas.push_back(other);
  EXPECT_EQ(told(differences(w)), "");
  w.state.sas[sa_out].output_mark = {};
  EXPECT_NE(told(differences(w)).find("sa-output-mark"), std::string::npos);
}

// As many as the figures name, and as many that all overlap: told within seconds, whatever it is.
TEST(Compare, ManyPoliciesTakeNoTimeForEachPair) {
  World w;
  w.agreement.tunnels[0].ends[0].traffic.clear();
  for (unsigned i = 0; i < 3000; ++i) {
    w.agreement.tunnels[0].ends[0].traffic.push_back(
        network("10.1." + std::to_string(i / 256) + "." + std::to_string(i % 256) + "/32"));
  }
  const Expected expected = get(expect(w.agreement, w.end));
  w.state = state_of(expected);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(told(differences(w)), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  for (unsigned i = 0; i < 10'000; ++i) {
    add_policy(w, out, "10.0.0.0/8", "0.0.0.0/0", 900'000).mark = {i, 0xffff};
  }
  EXPECT_NE(told(differences(w)).find("too many policies overlap"), std::string::npos);
}

}  // namespace
}  // namespace cs::xfrm
