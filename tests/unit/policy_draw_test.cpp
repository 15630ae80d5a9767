// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "keyms/policy/from_kernel.h"
#include "keyms/policy/from_swanctl.h"
#include "keyms/policy/settings.h"
#include "tests/unit/policy_samples.h"
#include "xfrm/agreement/compare.h"

namespace {

using cs::test::address;
using cs::test::get;
using cs::test::name_of;
using cs::test::network;
using cs::test::random_agreement;
using cs::test::sample_agreement;
using cs::test::state_of;
using namespace cs::keyms;
namespace xfrm = cs::xfrm;

DrawOptions named() {
  DrawOptions options;
  options.name = "berlin-hamburg";
  options.here = {"berlin-1", name_of(1), Endpoint{address("192.0.2.1"), 4739}};
  options.there = {"hamburg-1", name_of(2), {}};
  return options;
}

// --- settings ------------------------------------------------------------------------------------

std::string refused_settings(const std::string& text) {
  const auto parsed = parse_settings(text, "f");
  return parsed.ok() ? "" : parsed.error().message();
}

TEST(Settings, AreReadAsStrongSwanDoes) {
  const Settings root =
      get(parse_settings("# a comment\n"
                         "a = one  two # behind\n"
                         "b = \"quoted # {\\\"}\" and more\n"
                         "s { c = 1 } s { d = 2\n  t\n  { e =\n f = 3 } }\n"
                         "a = last",
                         "f"));
  EXPECT_EQ(root.value("a")->text, "last");
  EXPECT_EQ(root.value("a")->line, 8U);
  EXPECT_EQ(root.value("b")->text, "quoted # {\"} and more");
  const Settings* section = root.section("s");
  ASSERT_NE(section, nullptr);
  EXPECT_EQ(section->line, 4U);
  EXPECT_EQ(section->value("c")->text, "1");
  EXPECT_EQ(section->value("d")->text, "2");
  EXPECT_EQ(section->section("t")->value("e")->text, "");
  EXPECT_EQ(section->section("t")->value("f")->text, "3");
  EXPECT_EQ(root.section("x"), nullptr);
}

TEST(Settings, WhatIsNotReadIsRefusedWithItsLine) {
  EXPECT_EQ(refused_settings("\ninclude conf.d/*.conf\n"),
            "f:2: include is not read here; put what it includes in its place");
  EXPECT_NE(refused_settings("a : b { }").find("refers to another"), std::string::npos);
  EXPECT_EQ(refused_settings("a {\n b {\n }\n"), "f:4: the section of line 1 has no '}'");
  EXPECT_EQ(refused_settings("}"), "f:1: a '}' that closes nothing");
  EXPECT_EQ(refused_settings("a\nb"), "f:2: 'a' is followed by neither '=' nor '{'");
  EXPECT_EQ(refused_settings("= 1"), "f:1: a section or key has to stand here");
  EXPECT_EQ(refused_settings("a = \"b"), "f:1: a quote is never closed");
  std::string deep;
  for (int i = 0; i < 17; ++i) deep += "a {";
  EXPECT_EQ(refused_settings(deep), "f:1: sections are too deep in each other");
  EXPECT_NE(refused_settings(std::string(max_settings + 1, '#')), "");
}

// --- swanctl -------------------------------------------------------------------------------------

std::string swanctl(const std::string& child, const std::string& more = "") {
  return "connections {\n lab {\n  version = 2\n  local_addrs = 192.0.2.1\n  remote_addrs = "
         "192.0.2.2\n  local { auth = pubkey }\n" +
         more + "  children { office {\n" + child + "\n} } } }\n";
}

const std::string office =
    "local_ts = 10.1.0.0/16\n remote_ts = 10.2.0.0/16\n mark_in = 0x10000/0x10000\n"
    "mark_in_sa = yes\n set_mark_out = 0x20000/0x30000\n";

TEST(FromSwanctl, IsTheTunnelThatStrongSwanMakes) {
  const Drawn drawn = get(from_swanctl(
      swanctl(office +
              "esp_proposals = aes256gcm16-ecp256-esn-noesn, aes128-aes256-sha256-modp2048\n"
              "rekey_time = 1h\n start_action = trap\n"),
      "swanctl.conf", "", named()));
  EXPECT_EQ(drawn.notes, std::vector<std::string>());
  CorePolicy wanted = cs::test::sample_policy();
  for (std::size_t i = 0; i < 2; ++i) {
    wanted.gateways.at(i).attestation_key = name_of(static_cast<std::uint8_t>(1 + i));
  }
  xfrm::Tunnel& tunnel = wanted.agreement.tunnels[0];
  tunnel.inbound_policy_mark = tunnel.inbound_mark;
  tunnel.most_seconds = 3960;
  tunnel.proposals.push_back(get(xfrm::parse_proposal("aes128-sha256")));
  tunnel.proposals.push_back(get(xfrm::parse_proposal("aes256-sha256")));
  EXPECT_EQ(drawn.policy, wanted);
  EXPECT_TRUE(validate(drawn.policy).ok());
}

TEST(FromSwanctl, OtherWordsForOtherTunnels) {
  const auto tunnel = [](const std::string& child, const std::string& more = "") {
    return get(from_swanctl(swanctl(child, more), "f", "lab", {})).policy.agreement.tunnels.at(0);
  };
  const xfrm::Tunnel transport = tunnel(
      "mode = transport\n ah_proposals = sha2_384-esn\n life_time = 30m\n replay_window = 64");
  EXPECT_EQ(transport.mode, xfrm::Mode::transport);
  EXPECT_EQ(transport.protocol, 51);
  EXPECT_TRUE(transport.ends[0].traffic.empty());
  EXPECT_EQ(xfrm::words_of(transport.proposals.at(0)), "sha384");
  EXPECT_EQ(transport.extended_sequence_numbers, xfrm::Use::required);
  EXPECT_EQ(transport.most_seconds, 1800U);
  EXPECT_EQ(transport.least_replay_window, 64U);
  EXPECT_EQ(transport.inbound_mark, xfrm::Mark{});
  const xfrm::Tunnel own = tunnel(
      "remote_ts = 10.2.0.0/16[tcp/443], 10.3.0.0/16\n mark_out = 7\n"
      "esp_proposals = aes128gcm128\n if_id_in = 9\n if_id_out = 9\n"
      "rekey_time = 0",
      "encap = yes\n");
  EXPECT_EQ(own.ends[0].traffic, (std::vector{network("192.0.2.1/32")}));
  EXPECT_EQ(own.ends[1].traffic.at(0).ports, (xfrm::Ports{443, 0xffff}));
  EXPECT_EQ(own.outbound_policy_mark, (xfrm::Mark{7, 0xffffffff}));
  EXPECT_EQ(own.udp_encapsulation, xfrm::Use::required);
  EXPECT_EQ(own.interface_id, 9U);
  EXPECT_EQ(own.most_seconds, 0U);
  EXPECT_EQ(xfrm::words_of(own.proposals.at(0)), "aes128gcm16");
  EXPECT_EQ(xfrm::words_of(tunnel("esp_proposals = aes-sha256\n sha256_96 = yes").proposals.at(0)),
            "aes128-sha256_96");
}

TEST(FromSwanctl, WhatAPolicyCannotSayIsRefusedWithItsLine) {
  const auto refused = [](const std::string& child, const std::string& more = "") {
    const auto drawn = from_swanctl(swanctl(child, more), "f", "", {});
    return drawn.ok() ? "" : drawn.error().message();
  };
  for (const auto& [child, told] : std::vector<std::pair<std::string, std::string>>{
           {"mode = beet", "f:8: mode beet is none"},
           {"local_ts = 10.0.0.1-10.0.0.9", "f:8: "},
           {"local_ts = 10.0.0.0/8[tcp/1024-2048]", "f:8: "},
           {"mark_in = %unique", "f:8: mark_in: '%unique' is not a mark"},
           {"hw_offload = auto", "f:8: hw_offload"},
           {"ipcomp = yes", "f:8: ipcomp"},
           {"policies = no", "f:8: policies"},
           {"set_mark_in = 1", "f:8: set_mark_in"},
           {"if_id_in = 1", "f:7: if_id_in and if_id_out of office differ"},
           {"esp_proposals = rot13", "f:8: reading a proposal: 'rot13'"},
           {"ah_proposals = sha256\n esp_proposals = aes256gcm16", "f:8: esp_proposals beside"},
           {"life_time = soon", "f:8: life_time"},
           {"replay_window = many", "f:8: replay_window"}}) {
    EXPECT_EQ(refused(child).find(told), 0U) << refused(child);
  }
  EXPECT_EQ(get(from_swanctl(swanctl(""), "f", "", {})).policy.agreement.tunnels.size(), 1U);
  EXPECT_NE(from_swanctl(swanctl(""), "f", "x", {}).error().message().find("--connection: lab"),
            std::string::npos);
  EXPECT_NE(from_swanctl("", "f", "", {}).error().message().find("no connection"),
            std::string::npos);
  EXPECT_NE(from_swanctl("connections { a { } b { } }", "f", "", {}).error().message().find("a, b"),
            std::string::npos);
  const std::string any = "connections { a { children { c { } } } }";
  EXPECT_NE(from_swanctl(any, "f", "", {}).error().message().find("not known"), std::string::npos);
}

TEST(FromSwanctl, AGuardThatWouldDropAllIsRefused) {
  for (const char* selectors : {"", "local_ts = 10.1.0.0/16\n", "remote_ts = 10.2.0.0/16\n",
                                "local_ts = dynamic\n remote_ts = 10.2.0.0/16\n",
                                "local_ts = 10.1.0.0/16\n remote_ts = dynamic[tcp]\n"}) {
    const auto drawn = from_swanctl(
        swanctl("remote_ts = 10.2.0.0/16\n } guard { mode = drop\n " + std::string(selectors)), "f",
        "", {});
    ASSERT_FALSE(drawn.ok()) << selectors;
    EXPECT_NE(drawn.error().message().find("all traffic of this machine"), std::string::npos);
  }
}

TEST(FromSwanctl, SaysWhatItDoesNotKnow) {
  const Drawn drawn = get(
      from_swanctl(swanctl("remote_ts = 10.2.0.0/16\n interface = eth0\n esp_proposals = default\n "
                           "} guard { mode = drop\n local_ts = 10.1.0.0/16\n remote_ts = "
                           "10.2.0.0/16\n } dns { mode = "
                           "pass\n local_ts = 10.1.0.53/32\n remote_ts = 10.2.0.0/16,10.3.0.0/16\n",
                           "remote_addrs = %any\n frobnicate = 1\n"),
                   "f", "", {}));
  std::string all;
  for (const std::string& note : drawn.notes) all += note + "\n";
  for (const char* told : {"f:8: frobnicate is not understood", "f:11: interface is not understood",
                           "f:12: office: strongSwan's default proposals", "guard blocks",
                           "without mark_in", "without set_mark_out"}) {
    EXPECT_NE(all.find(told), std::string::npos) << told << "\n" << all;
  }
  EXPECT_EQ(drawn.policy.agreement.bypasses.size(), 2U);
  EXPECT_EQ(drawn.policy.agreement.tunnels.at(0).ends[1].address, std::nullopt);
  // Who they are is still to be said.
  EXPECT_EQ(find_problem(drawn.policy)->part, "gateways.HERE");
}

// --- the kernel ----------------------------------------------------------------------------------

// The kernel as agreed, read back, is expected to be as it is.
TEST(FromKernel, WhatIsDrawnIsWhatTheKernelDoes) {
  std::mt19937 random(3);
  int drawn_states = 0;
  for (int i = 0; i < 300; ++i) {
    xfrm::Agreement agreement = random_agreement(random);
    agreement.tunnels.resize(1);
    // The kernel does not say what is not known before.
    for (std::size_t end = 0; end < 2; ++end) {
      auto& at = agreement.tunnels[0].ends.at(end).address;
      if (!at) at = address("198.51.100." + std::to_string(end + 1));
    }
    const auto& ends = agreement.tunnels[0].ends;
    if (ends[0].address->ipv6 != ends[1].address->ipv6) continue;
    const xfrm::End end = random() % 2 == 0 ? xfrm::End::left : xfrm::End::right;
    const xfrm::State state = state_of(get(xfrm::expect(agreement, end)));
    const Drawn drawn = get(from_kernel(state, std::nullopt, named()));
    ASSERT_TRUE(validate(drawn.policy).ok()) << validate(drawn.policy).error().message();
    const auto expected = get(xfrm::expect(drawn.policy.agreement, xfrm::End::left));
    for (const auto& one : xfrm::compare(expected, state, {})) {
      ADD_FAILURE() << i << ": " << one.sentence;
    }
    ++drawn_states;
  }
  EXPECT_GT(drawn_states, 150);
}

TEST(FromKernel, OnePeerAtATime) {
  xfrm::Agreement agreement = sample_agreement();
  agreement.tunnels.push_back(agreement.tunnels[0]);
  agreement.tunnels[1].name = "other";
  agreement.tunnels[1].ends[1] = {address("192.0.2.3"), {network("10.3.0.0/16")}};
  const xfrm::State state = state_of(get(xfrm::expect(agreement, xfrm::End::left)));
  const auto both = from_kernel(state, std::nullopt, named());
  ASSERT_FALSE(both.ok());
  EXPECT_NE(both.error().message().find("--peer: 192.0.2.2, 192.0.2.3"), std::string::npos);
  const Drawn one = get(from_kernel(state, address("192.0.2.3"), named()));
  ASSERT_EQ(one.policy.agreement.tunnels.size(), 1U);
  EXPECT_EQ(one.policy.agreement.tunnels[0].ends[1].traffic, (std::vector{network("10.3.0.0/16")}));
  EXPECT_FALSE(from_kernel(state, address("192.0.2.9"), named()).ok());
  EXPECT_FALSE(from_kernel({}, std::nullopt, named()).ok());
}

TEST(FromKernel, WhatIsMissingIsToldAndLeftOut) {
  xfrm::State state = state_of(get(xfrm::expect(sample_agreement(), xfrm::End::left)));
  state.sas.clear();
  const Drawn drawn = get(from_kernel(state, std::nullopt, named()));
  ASSERT_EQ(drawn.notes.size(), 1U);
  EXPECT_EQ(drawn.notes[0], "tunnel-1: there is no SA, so its proposals are to be filled in");
  EXPECT_EQ(find_problem(drawn.policy)->part, "tunnels.tunnel-1");
}

// Two pairs of networks that are no product of two sets are two tunnels.
TEST(FromKernel, PoliciesThatAreNoProductStayApart) {
  xfrm::Agreement agreement = sample_agreement();
  agreement.tunnels[0].ends[0].traffic = {network("10.1.0.0/24"), network("10.1.1.0/24")};
  agreement.tunnels[0].ends[1].traffic = {network("10.2.0.0/24"), network("10.2.1.0/24")};
  xfrm::State state = state_of(get(xfrm::expect(agreement, xfrm::End::left)));
  EXPECT_EQ(get(from_kernel(state, std::nullopt, named())).policy.agreement.tunnels.size(), 1U);
  std::erase_if(state.policies, [](const xfrm::Policy& policy) {
    return policy.selector.source == network("10.1.1.0/24").network &&
           policy.selector.destination == network("10.2.1.0/24").network;
  });
  EXPECT_EQ(get(from_kernel(state, std::nullopt, named())).policy.agreement.tunnels.size(), 3U);
}

}  // namespace
