// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/core_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "keyms/policy/encode.h"
#include "tests/unit/policy_samples.h"

namespace {

using cs::ByteView;
using cs::ErrorKind;
using cs::test::address;
using cs::test::get;
using cs::test::hash_of;
using cs::test::network;
using cs::test::random_policy;
using cs::test::sample_policy;
using namespace cs::keyms;

using Bytes = std::vector<std::uint8_t>;

TEST(CorePolicy, ASampleIsKept) {
  EXPECT_TRUE(validate(sample_policy()).ok());
  EXPECT_EQ(end_of(sample_policy(), "hamburg-1"), cs::xfrm::End::right);
  EXPECT_EQ(end_of(sample_policy(), "munich-1"), std::nullopt);
}

struct Wrong {
  std::string part;
  std::string words;
  std::function<void(CorePolicy&)> change;
};

TEST(CorePolicy, WhatCannotBeKeptIsToldWithItsPart) {
  using std::chrono::seconds;
  const std::string berlin = "gateways.berlin-1";
  const std::vector<Wrong> wrongs{
      {"", "its name is not", [](auto& p) { p.name = "a\nb"; }},
      {"", "its version is not", [](auto& p) { p.version = 0; }},
      {"", "only version 1 has none", [](auto& p) { p.version = 2; }},
      {"", "version 1 has a predecessor", [](auto& p) { p.predecessor = hash_of(1); }},
      {"gateways.BERLIN", "its NeID", [](auto& p) { p.gateways[0].ne_id = "BERLIN"; }},
      {"", "both gateways have one NeID", [](auto& p) { p.gateways[1].ne_id = "berlin-1"; }},
      {"", "have one attestation key",
       [](auto& p) { p.gateways[1].attestation_key = p.gateways[0].attestation_key; }},
      {"", "so they cannot meet", [](auto& p) { p.gateways[0].keymsd.reset(); }},
      {berlin, "nobody knows who it is", [](auto& p) { p.gateways[0].attestation_key.reset(); }},
      {berlin, "both attestation_key and", [](auto& p) { p.gateways[0].authority = hash_of(1); }},
      {berlin, "is no Name", [](auto& p) { p.gateways[0].attestation_key->bytes[1] = 0x0c; }},
      {berlin, "of all zero", [](auto& p) { p.gateways[0].addresses = {address("0.0.0.0")}; }},
      {berlin, "no port", [](auto& p) { p.gateways[0].keymsd->port = 0; }},
      {berlin, "are more than the 16",
       [](auto& p) { p.gateways[0].addresses.resize(17, address("192.0.2.1")); }},
      {berlin, "static_pcr is PCR 7", [](auto& p) { p.gateways[0].static_pcr = 7; }},
      {berlin, "static_pcr is PCR 10", [](auto& p) { p.gateways[0].static_pcr = 10; }},
      {berlin, "which root can reset", [](auto& p) { p.gateways[0].static_pcr = 16; }},
      {berlin, "which root can reset", [](auto& p) { p.gateways[0].event_register.number = 23; }},
      {berlin, "are the same PCR", [](auto& p) { p.gateways[0].event_register.number = 15; }},
      {berlin, "NV index that is not for this",
       [](auto& p) {
         p.gateways[0].event_register = {cs::tpm::CelRegister::Kind::nv_index, 0x1c10200};
       }},
      {berlin, "a rule for PCR 15",
       [](auto& p) {
         p.gateways[0].boot = {{15, {}}};
       }},
      {berlin, "a rule for PCR 10",
       [](auto& p) {
         p.gateways[0].boot = {{10, {}}};
       }},
      {berlin, "one of its own registers",
       [](auto& p) {
         p.gateways[0].boot = {{13, {}}};
       }},
      {berlin, "two rules",
       [](auto& p) {
         p.gateways[0].boot = {{7, {}}, {7, {cs::tpm::Digest(cs::tpm::HashAlgorithm::sha256)}}};
       }},
      {berlin, "not of the bank sha256",
       [](auto& p) {
         p.gateways[0].boot = {{7, {cs::tpm::Digest(cs::tpm::HashAlgorithm::sha384)}}};
       }},
      {berlin, "ima accepts nothing", [](auto& p) { p.gateways[0].ima.emplace(); }},
      {berlin, "no absolute path",
       [](auto& p) {
         p.gateways[0].ima = ImaRules{{hash_of(1)}, {"tmp"}, false};
       }},
      {"", "it has no tunnel", [](auto& p) { p.agreement.tunnels.clear(); }},
      {"tunnels.office", "replay window",
       [](auto& p) { p.agreement.tunnels[0].least_replay_window = 0; }},
      {"tunnels.office", "its address 192.0.2.7 is none of berlin-1's",
       [](auto& p) { p.agreement.tunnels[0].ends[0].address = address("192.0.2.7"); }},
      {"tunnels.office", "is there twice",
       [](auto& p) {
         p.agreement.tunnels[0].proposals.push_back(p.agreement.tunnels[0].proposals[0]);
       }},
      {"tunnels.office", "no words are known for",
       [](auto& p) { p.agreement.tunnels[0].proposals[0].aead->key_bits = 1; }},
      {"", "no packet fits",
       [](auto& p) { p.agreement.tunnels[0].ends[0].traffic = {network("2001:db8::/32")}; }},
      {"", "the name is there twice",
       [](auto& p) { p.agreement.tunnels.push_back(p.agreement.tunnels[0]); }},
      {"signing", "which TPMs do not have",
       [](auto& p) {
         p.signing.mode = SigningMode::tpm;
         p.signing.suite = Suite::ed25519_node16;
       }},
      {"signing", "shorter than attestation.interval",
       [](auto& p) { p.signing.key_lifetime = seconds(299); }},
      {"signing", "more than half",
       [](auto& p) { p.signing.overlap = seconds(300), p.signing.key_lifetime = seconds(599); }},
      {"attestation", "interval is 9 s", [](auto& p) { p.attestation.interval = seconds(9); }},
      {"attestation", "less than two intervals",
       [](auto& p) {
         p.attestation.certificate_lifetime = seconds(600), p.attestation.interval = seconds(301),
         p.signing.key_lifetime = seconds(900);
       }},
      {"attestation", "silence is 1 s", [](auto& p) { p.attestation.silence = seconds(1); }},
      {"attestation", "grace has no meaning", [](auto& p) { p.attestation.grace = seconds(60); }},
      {"", "not in ascending order",
       [](auto& p) { p.gateways[0].addresses.resize(2, address("192.0.2.1")); }},
      {"", "not in ascending order",
       [](auto& p) {
         auto& traffic = p.agreement.tunnels[0].ends[0].traffic;
         traffic = {network("10.1.2.0/24"), network("10.1.1.0/24")};
       }},
  };
  for (const Wrong& wrong : wrongs) {
    CorePolicy policy = sample_policy();
    wrong.change(policy);
    const auto problem = find_problem(policy);
    ASSERT_TRUE(problem) << wrong.words;
    EXPECT_EQ(problem->part, wrong.part) << wrong.words;
    EXPECT_NE(problem->error.message().find(wrong.words), std::string::npos)
        << problem->error.message();
    EXPECT_FALSE(encode(policy).ok());
  }
}

TEST(CorePolicy, InOneOrderHoweverItWasWritten) {
  const CorePolicy sample = sample_policy();
  CorePolicy other = sample;
  std::swap(other.gateways[0], other.gateways[1]);
  std::swap(other.agreement.tunnels[0].ends[0], other.agreement.tunnels[0].ends[1]);
  for (Gateway& gateway : other.gateways) gateway.addresses.push_back(gateway.addresses[0]);
  normalise(other);
  EXPECT_EQ(other, sample);
}

TEST(CorePolicy, AdviceIsGivenOfWhatIsWeak) {
  CorePolicy policy = sample_policy();
  const std::size_t before = advice(policy).size();
  policy.agreement.tunnels[0].inbound_mark = {};
  policy.signing.inbound = Mode::audit;
  const auto after = advice(policy);
  ASSERT_EQ(after.size(), before + 2);
  EXPECT_EQ(after.back(), "signing: packets that do not verify are accepted");
}

TEST(Encoding, ComesBackAndHasOneFormOnly) {
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    const CorePolicy policy = random_policy(random);
    const Bytes bytes = get(encode(policy));
    const CorePolicy again = get(decode_policy(bytes));
    ASSERT_EQ(again, policy);
    ASSERT_EQ(get(encode(again)), bytes);
    // A changed bit makes another policy, or none; never the same again.
    for (int k = 0; k < 20; ++k) {
      Bytes changed = bytes;
      changed[random() % changed.size()] ^= static_cast<std::uint8_t>(1U << (random() % 8));
      const auto other = decode_policy(changed);
      if (!other.ok()) continue;
      ASSERT_EQ(get(encode(*other)), changed);
    }
  }
}

TEST(Encoding, CutShortOrFollowedItIsRefused) {
  Bytes bytes = get(encode(sample_policy()));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_policy(ByteView(bytes).first(size)).ok());
  }
  bytes.push_back(0);
  const auto followed = decode_policy(bytes);
  ASSERT_FALSE(followed.ok());
  EXPECT_NE(followed.error().message().find("1 bytes follow"), std::string::npos);
  EXPECT_EQ(decode_policy(Bytes(max_policy_bytes + 1)).error().kind(), ErrorKind::limit);
}

TEST(Encoding, AnotherFormatIsRefused) {
  Bytes bytes = get(encode(sample_policy()));
  ASSERT_EQ(bytes[2], 1);
  bytes[2] = 2;
  EXPECT_FALSE(decode_policy(bytes).ok());
  bytes[2] = 0;
  EXPECT_FALSE(decode_policy(bytes).ok());
}

TEST(Encoding, TheWordsOfAProposalHaveOneOrder) {
  CorePolicy policy = sample_policy();
  policy.agreement.tunnels[0].proposals = {get(cs::xfrm::parse_proposal("aes128-sha256"))};
  Bytes bytes = get(encode(policy));
  const std::string words = "aes128-sha256";
  const std::string turned = "sha256-aes128";
  const auto found = std::search(bytes.begin(), bytes.end(), words.begin(), words.end());
  ASSERT_NE(found, bytes.end());
  std::ranges::copy(turned, found);
  const auto refused = decode_policy(bytes);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("encryption first"), std::string::npos);
}

TEST(Encoding, TheValueIsItsSha256) {
  EXPECT_EQ(core_properties_value({}),
            (Hash{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                  0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                  0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}));
}

}  // namespace
