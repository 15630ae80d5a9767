// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/agreement/agreement.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/unit/agreement_samples.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using test::address;
using test::get;
using test::network;
using test::sample_agreement;

TEST(Agreement, WhatProtectsNothingIsRefused) {
  struct Case {
    const char* says;
    std::function<void(Agreement&)> change;
  };
  const std::vector<Case> cases{
      {"replay window of 0", [](auto& a) { a.tunnels[0].least_replay_window = 0; }},
      {"no proposal", [](auto& a) { a.tunnels[0].proposals.clear(); }},
      {"takes an AEAD", [](auto& a) { a.tunnels[0].proposals[0].aead.reset(); }},
      {"takes an AEAD",
       [](auto& a) {
         a.tunnels[0].proposals[0] = {std::nullopt, Algorithm{"cbc(aes)", 128, 0}, std::nullopt};
       }},
      {"AH takes", [](auto& a) { a.tunnels[0].protocol = 51; }},
      {"neither ESP nor AH", [](auto& a) { a.tunnels[0].protocol = 108; }},
      {"neither tunnel nor", [](auto& a) { a.tunnels[0].mode = Mode::beet; }},
      {"protects no traffic", [](auto& a) { a.tunnels[0].ends[1].traffic.clear(); }},
      {"neither end has",
       [](auto& a) {
         a.tunnels[0].ends[0].address.reset();
         a.tunnels[0].ends[1].address.reset();
       }},
      {"the same or of", [](auto& a) { a.tunnels[0].ends[0].address = address("2001:db8::1"); }},
      {"bits outside its mask",
       [](auto& a) {
         a.tunnels[0].output_mark = {3, 1};
       }},
      {"inbound policies carry",
       [](auto& a) {
         a.tunnels[0].inbound_policy_mark = {4, 4};
       }},
      {"bits behind its length",
       [](auto& a) { a.tunnels[0].ends[0].traffic[0].network.length = 8; }},
      {"without a protocol",
       [](auto& a) {
         a.tunnels[0].ends[0].traffic[0].ports = {22, 65535};
       }},
      {"name is there twice", [](auto& a) { a.tunnels.push_back(a.tunnels[0]); }},
      {"a name has", [](auto& a) { a.tunnels[0].name.clear(); }},
      {"more than the 256", [](auto& a) { a.tunnels.resize(257, a.tunnels[0]); }},
      {"different families",
       [](auto& a) {
         a.bypasses = {{"b", End::left, network("10.0.0.0/8"), network("2001:db8::/32")}};
       }},
  };
  for (const Case& one : cases) {
    Agreement agreement = sample_agreement();
    EXPECT_TRUE(validate(agreement).ok());
    one.change(agreement);
    const auto result = validate(agreement);
    ASSERT_FALSE(result.ok()) << one.says;
    EXPECT_NE(result.error().message().find(one.says), std::string::npos)
        << result.error().message();
    EXPECT_FALSE(expect(agreement, End::left).ok());
  }
}

TEST(Agreement, SameTrafficTwiceOrNoneIsRefused) {
  Agreement twice = sample_agreement();
  twice.tunnels.push_back(twice.tunnels[0]);
  twice.tunnels[1].name = "second";
  EXPECT_FALSE(expect(twice, End::left).ok());
  twice.tunnels[1].interface_id = 7;
  EXPECT_TRUE(expect(twice, End::left).ok());

  Agreement none = sample_agreement();
  none.tunnels[0].ends[0].traffic = {network("2001:db8::/32")};
  EXPECT_FALSE(expect(none, End::left).ok());
}

TEST(Agreement, ProposalsAreReadInTheirUsualWords) {
  EXPECT_EQ(get(parse_proposal("aes256gcm16")).aead, (Algorithm{"rfc4106(gcm(aes))", 288, 128}));
  const Proposal both = get(parse_proposal("aes128-sha256"));
  EXPECT_EQ(both.encryption, (Algorithm{"cbc(aes)", 128, 0}));
  EXPECT_EQ(both.authentication, (Algorithm{"hmac(sha256)", 256, 128}));
  for (const char* wrong :
       {"", "-", "aes128-", "aes128-aes256", "aes256gcm16-sha256", "modp2048", "aes256gcm16-esn"}) {
    EXPECT_FALSE(parse_proposal(wrong).ok()) << wrong;
  }
}

TEST(Expected, BothSidesMirrorEachOther) {
  Agreement agreement = sample_agreement();
  agreement.bypasses = {{"lan", End::left, network("10.1.1.0/24"), network("10.2.1.0/24")}};
  const Expected left = get(expect(agreement, End::left));
  const Expected right = get(expect(agreement, End::right));
  std::vector<std::string> names;
  for (const ExpectedPolicy& one : left.policies) names.push_back(name_of(one.policy));
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "policy out 10.1.1.0/24 → 10.2.1.0/24", "policy in 10.2.1.0/24 → 10.1.1.0/24",
                "policy fwd 10.2.1.0/24 → 10.1.1.0/24", "policy out 10.1.0.0/16 → 10.2.0.0/16",
                "policy in 10.2.0.0/16 → 10.1.0.0/16", "policy fwd 10.2.0.0/16 → 10.1.0.0/16"}));
  ASSERT_EQ(right.policies.size(), 3U);
  EXPECT_EQ(name_of(right.policies[0].policy), "policy out 10.2.0.0/16 → 10.1.0.0/16");
  const Template& away = left.policies[3].policy.templates.at(0);
  EXPECT_EQ(away, right.policies[1].policy.templates.at(0));
  EXPECT_EQ(away.source, address("192.0.2.1"));
  ASSERT_EQ(left.sas.size(), 2U);
  EXPECT_TRUE(left.sas[0].inbound);
  EXPECT_EQ(left.sas[0].sa.source, address("192.0.2.2"));
  EXPECT_EQ(left.sas[0].sa.id.mark, (Mark{0x10000, 0x10000}));
  EXPECT_EQ(left.sas[1].sa.output_mark, (Mark{0x20000, 0x30000}));
  EXPECT_EQ(left.sas[1].sa.id.mark, Mark{});
}

TEST(Expected, TransportProtectsTheGatewaysThemselves) {
  Agreement agreement = sample_agreement();
  agreement.tunnels[0].mode = Mode::transport;
  agreement.tunnels[0].ends[0].traffic.clear();
  agreement.tunnels[0].ends[1].traffic.clear();
  const Expected left = get(expect(agreement, End::left));
  ASSERT_EQ(left.policies.size(), 2U);
  EXPECT_EQ(name_of(left.policies[0].policy), "policy out 192.0.2.1/32 → 192.0.2.2/32");
}

}  // namespace
}  // namespace cs::xfrm
