// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "keyms/policy/difference.h"
#include "keyms/policy/encode.h"
#include "tests/unit/policy_samples.h"

namespace {

using cs::test::address;
using cs::test::get;
using cs::test::hash_of;
using cs::test::network;
using cs::test::random_policy;
using cs::test::sample_policy;
using namespace cs::keyms;

std::string told(const Change& one) {
  return std::string(text(one.effect)) + "|" + one.part + "|" + one.sentence;
}

struct Case {
  std::function<void(CorePolicy&)> change;
  std::string there;  // what is told of the change
  std::string back;   // and of what undoes it
};

// A sample in which everything can be made both more and less.
CorePolicy rich() {
  CorePolicy policy = sample_policy();
  Gateway& berlin = policy.gateways[0];
  berlin.boot = {{0, {}}, {7, {cs::tpm::Digest(cs::tpm::HashAlgorithm::sha256, 7)}}};
  berlin.ima = ImaRules{{hash_of(1)}, {"/var/"}, false};
  cs::xfrm::Bypass bypass;
  bypass.name = "dns";
  bypass.here = network("10.1.0.53/32");
  bypass.there = network("10.2.0.0/16");
  policy.agreement.bypasses = {bypass};
  policy.agreement.tunnels[0].most_seconds = 3600;
  return policy;
}

const std::vector<Case>& cases() {
  using cs::tpm::Digest;
  using std::chrono::seconds;
  constexpr auto sha256 = cs::tpm::HashAlgorithm::sha256;
  static const std::vector<Case> all{
      {[](auto& p) { p.name = "x"; }, "other||the name berlin-hamburg becomes x",
       "other||the name x becomes berlin-hamburg"},
      {[](auto& p) { p.gateways[0].attestation_key = cs::test::name_of(0); },
       "other|berlin-1|who it is: the attestation key 411205 ",
       "other|berlin-1|who it is: the attestation key 000002 000004 000006 000009 000003 000005 "
       "000008 000007 (0000"},
      {[](auto& p) { p.gateways[0].proof = Proof::optional; },
       "weaker|berlin-1|proof of its TPM: required becomes optional",
       "stronger|berlin-1|proof of its TPM: optional becomes required"},
      {[](auto& p) { p.gateways[0].addresses.push_back(address("192.0.2.9")); },
       "wider|berlin-1|it is at 192.0.2.9 too", "narrower|berlin-1|it is at 192.0.2.9 no longer"},
      {[](auto& p) {
         p.gateways[1].keymsd = Endpoint{address("192.0.2.2"), 1};
       },
       "other|hamburg-1|its keymsd listens at nowhere becomes 192.0.2.2:1",
       "other|hamburg-1|its keymsd listens at 192.0.2.2:1 becomes nowhere"},
      {[](auto& p) { p.gateways[0].static_pcr = 11; },
       "other|berlin-1|its static register is PCR 15 becomes 11", "other|berlin-1|its static"},
      {[](auto& p) { p.gateways[0].event_register.number = 12; },
       "other|berlin-1|its event register pcr:13 becomes pcr:12", "other|berlin-1|its event"},
      {[](auto& p) { p.gateways[0].resettable = true; },
       "weaker|berlin-1|registers that root can reset: no becomes yes", "stronger|berlin-1|regist"},
      {[](auto& p) {
         p.gateways[0].boot[1].accepted.insert(p.gateways[0].boot[1].accepted.begin(),
                                               Digest(sha256, 1));
       },
       "weaker|berlin-1|PCR 7 accepts one value more",
       "stronger|berlin-1|PCR 7 accepts one value less"},
      {[](auto& p) { p.gateways[0].boot[1].accepted.clear(); },
       "weaker|berlin-1|PCR 7 accepts any value",
       "stronger|berlin-1|PCR 7 accepts no longer any value, but one value"},
      {[](auto& p) { p.gateways[0].boot.pop_back(); }, "weaker|berlin-1|PCR 7 is quoted no longer",
       "stronger|berlin-1|PCR 7 is quoted, and accepts one value"},
      {[](auto& p) { p.gateways[0].ima.reset(); },
       "weaker|berlin-1|IMA is asked for no longer: any program may run",
       "stronger|berlin-1|IMA is asked for: which programs run is judged"},
      {[](auto& p) { p.gateways[0].ima->list_keys.push_back(hash_of(2)); },
       "weaker|berlin-1|the key 00514", "stronger|berlin-1|the key 00514"},
      {[](auto& p) { p.gateways[0].ima->ignored.emplace_back("/x/"); },
       "weaker|berlin-1|files below /x/ are judged no longer",
       "stronger|berlin-1|files below /x/ are judged"},
      {[](auto& p) { p.gateways[0].ima->accept_violations = true; },
       "weaker|berlin-1|IMA's violations are accepted: no becomes yes", "stronger|berlin-1|IMA's"},
      {[](auto& p) { p.agreement.tunnels[0].ends[0].traffic = {network("10.0.0.0/15")}; },
       "wider|tunnel office|10.1.0.0/16 of berlin-1 becomes 10.0.0.0/15: more is protected",
       "narrower|tunnel office|10.0.0.0/15 of berlin-1 becomes 10.1.0.0/16: less is protected"},
      {[](auto& p) { p.agreement.tunnels[0].ends[1].traffic.push_back(network("10.3.0.0/16")); },
       "wider|tunnel office|10.3.0.0/16 of hamburg-1 is protected too",
       "narrower|tunnel office|10.3.0.0/16 of hamburg-1 is protected no longer"},
      {[](auto& p) { p.agreement.tunnels[0].ends[1].traffic.push_back(network("10.2.7.0/24")); },
       "other|tunnel office|10.2.7.0/24 of hamburg-1 is named, and was protected",
       "other|tunnel office|10.2.7.0/24 of hamburg-1 is named no longer, and still protected"},
      {[](auto& p) { p.agreement.tunnels[0].ends[0].traffic[0].protocol = 17; },
       "narrower|tunnel office|10.1.0.0/16 of berlin-1 becomes 10.1.0.0/16[udp]: less is protected",
       "wider|tunnel office|10.1.0.0/16[udp] of berlin-1 becomes 10.1.0.0/16: more is protected"},
      {[](auto& p) { p.agreement.tunnels[0].ends[1].address.reset(); },
       "weaker|tunnel office|the address of hamburg-1 192.0.2.2 becomes any",
       "stronger|tunnel office|the address of hamburg-1 any becomes 192.0.2.2"},
      {[](auto& p) { p.agreement.tunnels[0].mode = cs::xfrm::Mode::transport; },
       "other|tunnel office|mode tunnel becomes transport", "other|tunnel office|mode transport"},
      {[](auto& p) {
         p.agreement.tunnels[0].proposals = {get(cs::xfrm::parse_proposal("aes128gcm16"))};
       },
       "weaker|tunnel office|proposals aes256gcm16 becomes aes128gcm16",
       "stronger|tunnel office|proposals aes128gcm16 becomes aes256gcm16"},
      {[](auto& p) {
         p.agreement.tunnels[0].proposals = {get(cs::xfrm::parse_proposal("aes256-sha256"))};
       },
       "other|tunnel office|proposals aes256gcm16 becomes aes256-sha256",
       "other|tunnel office|prop"},
      {[](auto& p) {
         p.agreement.tunnels[0].protocol = 51;
         p.agreement.tunnels[0].proposals = {get(cs::xfrm::parse_proposal("sha256"))};
       },
       "weaker|tunnel office|protocol esp becomes ah",
       "stronger|tunnel office|protocol ah becomes esp"},
      {[](auto& p) { p.agreement.tunnels[0].extended_sequence_numbers = cs::xfrm::Use::required; },
       "other|tunnel office|extended sequence numbers: allowed becomes required", "other|"},
      {[](auto& p) { p.agreement.tunnels[0].udp_encapsulation = cs::xfrm::Use::required; },
       "other|tunnel office|encapsulation in UDP: allowed becomes required", "other|"},
      {[](auto& p) { p.agreement.tunnels[0].least_replay_window = 64; },
       "other|tunnel office|the least replay window 32 becomes 64", "other|"},
      {[](auto& p) { p.agreement.tunnels[0].inbound_mark = {}; },
       "weaker|tunnel office|the mark of inbound SAs 0x10000/0x10000 becomes none",
       "stronger|tunnel office|the mark of inbound SAs none becomes 0x10000/0x10000"},
      {[](auto& p) { p.agreement.tunnels[0].output_mark = {}; },
       "weaker|tunnel office|the output mark 0x20000/0x30000 becomes none", "stronger|"},
      {[](auto& p) {
         p.agreement.tunnels[0].inbound_policy_mark = {0x10000, 0x10000};
       },
       "other|tunnel office|the mark of inbound policies none becomes 0x10000/0x10000", "other|"},
      {[](auto& p) {
         p.agreement.tunnels[0].outbound_policy_mark = {1, 1};
       },
       "other|tunnel office|the mark of outbound policies none becomes 0x1/0x1", "other|"},
      {[](auto& p) { p.agreement.tunnels[0].interface_id = 7; },
       "other|tunnel office|if_id 0 becomes 7", "other|"},
      {[](auto& p) { p.agreement.tunnels[0].most_seconds = 0; },
       "weaker|tunnel office|the longest life of an SA 1h becomes any", "stronger|"},
      {[](auto& p) { p.agreement.tunnels[0].forwards = false; },
       "narrower|tunnel office|what comes out of it is forwarded no longer", "wider|"},
      {[](auto& p) { p.agreement.tunnels[0].name = "lan"; },
       "narrower|tunnel office|it goes, and no longer protects 10.1.0.0/16 of berlin-1 and "
       "10.2.0.0/16 of hamburg-1",
       "narrower|tunnel lan|it goes"},
      {[](auto& p) { p.agreement.bypasses.clear(); },
       "stronger|bypass dns|10.1.0.53/32 at berlin-1 with 10.2.0.0/16 goes in clear no longer",
       "weaker|bypass dns|10.1.0.53/32 at berlin-1 with 10.2.0.0/16 goes in clear"},
      {[](auto& p) { p.agreement.bypasses[0].there = network("10.2.0.53/32"); },
       "stronger|bypass dns|in clear: 10.1.0.53/32 at berlin-1 with 10.2.0.0/16 becomes",
       "weaker|"},
      {[](auto& p) { p.agreement.defaults.out = cs::xfrm::Action::block; },
       "stronger|defaults|packets out that fit no policy: allow becomes block", "weaker|defaults|"},
      {[](auto& p) { p.agreement.defaults.in = cs::xfrm::Action::block; },
       "stronger|defaults|packets in that fit no policy: allow becomes block", "weaker|defaults|"},
      {[](auto& p) { p.agreement.defaults.forward = cs::xfrm::Action::block; },
       "stronger|defaults|packets forwarded that fit", "weaker|defaults|"},
      {[](auto& p) { p.signing.mode = SigningMode::tpm; },
       "stronger|signing|packets are signed by the key of a session becomes the TPM", "weaker|"},
      {[](auto& p) { p.signing.suite = Suite::p256_node32; },
       "stronger|signing|suite p256-16 becomes p256-32", "weaker|signing|suite"},
      {[](auto& p) { p.signing.inbound = Mode::audit; },
       "weaker|signing|packets that come in: enforce becomes audit", "stronger|signing|"},
      {[](auto& p) { p.signing.key_lifetime = seconds(1200); },
       "weaker|signing|the lifetime of keys 10m becomes 20m", "stronger|signing|"},
      {[](auto& p) { p.signing.overlap = seconds(60); },
       "weaker|signing|the overlap of keys 30s becomes 1m", "stronger|signing|"},
      {[](auto& p) { p.attestation.interval = seconds(60); },
       "stronger|attestation|the interval 5m becomes 1m", "weaker|attestation|"},
      {[](auto& p) { p.attestation.certificate_lifetime = seconds(3600); },
       "stronger|attestation|the lifetime of certificates 1d becomes 1h", "weaker|attestation|"},
      {[](auto& p) { p.attestation.silence = seconds(30); },
       "weaker|attestation|silence that counts as a denial: 15s becomes 30s", "stronger|"},
      {[](auto& p) { p.attestation.after_drift = AfterDrift::healed; },
       "weaker|attestation|after drift a gateway has to be acknowledged becomes healed",
       "stronger|"},
      {[](auto& p) {
         p.attestation.on_failure = OnFailure::report;
         p.attestation.grace = seconds(60);
       },
       "weaker|attestation|on failure: cut becomes report", "stronger|attestation|on failure"},
  };
  return all;
}

TEST(PolicyChanges, EachIsToldWithItsMeaningBothWays) {
  const CorePolicy before = rich();
  ASSERT_TRUE(validate(before).ok());
  for (const Case& one : cases()) {
    CorePolicy after = before;
    one.change(after);
    ASSERT_TRUE(validate(after).ok()) << one.there << validate(after).error().message();
    const auto there = changes(before, after);
    // NOLINTNEXTLINE(readability-suspicious-call-argument): the way back is meant.
    const auto back = changes(after, before);
    ASSERT_FALSE(there.empty()) << one.there;
    EXPECT_EQ(told(there.front()).find(one.there), 0U) << told(there.front());
    EXPECT_EQ(told(back.front()).find(one.back), 0U) << told(back.front());
  }
}

TEST(PolicyChanges, NoneBetweenEqualsAndSomeBetweenOthers) {
  std::mt19937 random(5);
  for (int i = 0; i < 100; ++i) {
    const CorePolicy one = random_policy(random);
    const CorePolicy two = random_policy(random);
    EXPECT_TRUE(changes(one, one).empty());
    EXPECT_FALSE(changes(one, two).empty());
  }
}

// What is compared grows with the model: each byte of the encoding that may differ is told of.
TEST(PolicyChanges, NothingThatChangesTheValueIsPassedOver) {
  std::mt19937 random(6);
  const CorePolicy before = rich();
  const auto bytes = get(encode(before));
  int others = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto changed = bytes;
      changed[at] ^= static_cast<std::uint8_t>(1U << bit);
      const auto after = decode_policy(changed);
      if (!after.ok()) continue;
      ++others;
      EXPECT_FALSE(changes(before, *after).empty()) << "byte " << at << " bit " << bit;
    }
  }
  EXPECT_GT(others, 500);
}

TEST(PolicyChanges, TheNextVersionNamesTheOneBefore) {
  const CorePolicy before = sample_policy();
  CorePolicy after = before;
  after.version = 2;
  after.predecessor = hash_of(9);
  EXPECT_EQ(changes(before, after).size(), 2U);
  after.predecessor = core_properties_value(get(encode(before)));
  const auto right = changes(before, after);
  ASSERT_EQ(right.size(), 1U);
  EXPECT_EQ(right[0].sentence, "the version 1 becomes 2");
}

}  // namespace
