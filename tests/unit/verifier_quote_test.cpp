// SPDX-License-Identifier: GPL-3.0-or-later
// What the TPM says of a gateway: quote, registers, an index.
#include "tests/unit/verifier.h"

namespace {

using cs::keyms::Criterion;
using cs::keyms::PeerMemory;
using cs::test::Bytes;
using cs::test::Codes;
using cs::test::drift;
using cs::test::get;
using cs::test::hash_of;
using cs::test::nv;
using cs::test::Shown;
using cs::test::ShownGateway;
using cs::test::Verifier;
using cs::tpm::CelEvent;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;

Bytes point_of(const cs::tpm::PublicArea& area) {
  Bytes point{4};
  point.insert(point.end(), area.unique.begin(), area.unique.end());
  point.insert(point.end(), area.unique_y.begin(), area.unique_y.end());
  return point;
}

TEST_F(Verifier, AClockThatSomebodyHasSet) {
  const Shown shown = gateway().show();
  const auto now = gateway().clock.wall();
  gateway().clock.set_wall(now - std::chrono::hours(2));
  EXPECT_EQ(wrong(shown), (Codes{"endpoint_validity", "session_key_lifetime", "clock_skew"}));
  gateway().clock.set_wall(now + std::chrono::hours(2));
  EXPECT_EQ(wrong(shown), (Codes{"endpoint_validity", "session_key_lifetime", "clock_skew"}));
  gateway().clock.set_wall(now - std::chrono::seconds(60));
  EXPECT_EQ(wrong(shown), Codes()) << "clocks differ a little";
}

TEST_F(Verifier, RegistersThatRootCanReset) {
  gateway().gateway().static_pcr = 16;
  EXPECT_TRUE(wrong(gateway().show()).contains("registers"));
  gateway().gateway().resettable = true;
  EXPECT_FALSE(wrong(gateway().show()).contains("registers"));
  gateway().gateway().static_pcr = 13;
  EXPECT_TRUE(wrong(gateway().show()).contains("registers")) << "the event register's";
}

TEST_F(Verifier, AQuoteThatIsNone) {
  const Shown good = gateway().show();
  const auto with = [&](const std::function<void(cs::keyms::Signed&)>& change) {
    Shown shown = good;
    change(shown.collected.quote);
    return wrong(shown);
  };
  using Quote = cs::keyms::Signed;
  EXPECT_EQ(with([](Quote& quote) { quote.bytes.pop_back(); }), Codes{"quote_form"});
  EXPECT_EQ(with([](Quote& quote) { quote.signature.clear(); }), Codes{"quote_form"});
  EXPECT_EQ(with([](Quote& quote) { quote.bytes[0] = 0; }),
            (Codes{"quote_form", "quote_signature"}));
  EXPECT_EQ(with([](Quote& quote) { quote.signature.back() ^= 1U; }), Codes{"quote_signature"});
  // A document that it signs, as it signs its endpoint.
  EXPECT_TRUE(with([&](Quote& quote) { quote = good.endpoint; }).contains("quote_form"));
}

TEST_F(Verifier, EvidenceThatIsReplayed) {
  const Shown shown = gateway().show("yesterday's nonce");
  EXPECT_EQ(wrong(shown), Codes{"quote_freshness"});
  EXPECT_FALSE(judge(shown).memory);
}

TEST_F(Verifier, AKeySwappedAfterTheQuote) {
  Shown shown = gateway().show();
  const auto other = cs::test::Forger().area(0);
  shown.session_key = point_of(other);
  EXPECT_EQ(wrong(shown), Codes{"quote_freshness"});
}

TEST_F(Verifier, AQuoteOfOtherRegisters) {
  const Shown shown = gateway().show();
  gateway().gateway().boot.push_back({2, {}});
  EXPECT_EQ(wrong(shown), Codes{"quote_selection"});
}

TEST_F(Verifier, ValuesThatWereNotQuoted) {
  Shown shown = gateway().show();
  get(shown.collected.values.set(15, Digest(HashAlgorithm::sha256, 1)));
  EXPECT_EQ(wrong(shown), Codes{"quote_values"});
}

TEST_F(Verifier, ATpmThatIsNotAsLastSeen) {
  const PeerMemory good = remembered();
  const Shown shown = gateway().show();
  EXPECT_EQ(wrong(shown, &good), Codes());
  PeerMemory memory = good;
  memory.clock.reset_count += 1;
  EXPECT_EQ(wrong(shown, &memory), Codes{"reset_count"});
  EXPECT_FALSE(judge(shown, &memory).memory);
  memory = good;
  memory.clock.clock += 1000000;
  EXPECT_EQ(wrong(shown, &memory), Codes{"quote_clock"});
  memory.clock.reset_count -= 1;
  EXPECT_EQ(wrong(shown, &memory), Codes()) << "its power was cut in between";
  memory = good;
  memory.clock.restart_count += 1;
  EXPECT_EQ(wrong(shown, &memory), Codes{"restart_count"});
  EXPECT_TRUE(judge(shown, &memory).granted());
  memory = good;
  memory.firmware += 1;
  EXPECT_EQ(wrong(shown, &memory), Codes{"tpm_firmware"});
  EXPECT_TRUE(judge(shown, &memory).granted());
  memory.attestation_key.bytes.back() ^= 1U;
  EXPECT_EQ(wrong(shown, &memory), Codes()) << "what is known of another key";
}

TEST_F(Verifier, AnIndexThatIsNotTheOneAgreed) {
  made.emplace(nv);
  const Shown good = gateway().show();
  Shown shown = good;
  shown.collected.event_index.reset();
  EXPECT_EQ(wrong(shown), (Codes{"event_index", "event_index_certified"}));
  gateway().gateway().event_register.number += 1;
  EXPECT_EQ(wrong(good), Codes{"event_index"});
  gateway().gateway().event_register.number -= 1;
  shown = good;
  shown.collected.event_index->area.at(6) ^= 1U;  // an attribute
  EXPECT_EQ(wrong(shown), (Codes{"event_index", "event_index_certified"}));
  shown = good;
  shown.collected.event_index->contents.at(0) ^= 1U;
  EXPECT_EQ(wrong(shown), Codes{"event_index_certified"});
  shown = good;
  shown.collected.event_index->certified =
      gateway().show("another").collected.event_index->certified;
  EXPECT_EQ(wrong(shown), Codes{"event_index_certified"});
}

TEST_F(Verifier, AnIndexCertifiedInAnotherBoot) {
  made.emplace(nv);
  const auto before = gateway().show().collected.event_index;
  gateway().reboot();
  gateway().boot();
  Shown shown = gateway().show();
  EXPECT_EQ(wrong(shown), Codes());
  EXPECT_EQ(shown.collected.event_index->contents, before->contents);
  shown.collected.event_index = before;
  const auto found = judge(shown);
  EXPECT_EQ(failing(found), Codes{"event_index_certified"});
  EXPECT_TRUE(found.of(Criterion::event_index_certified)
                  .sentence.starts_with("expected it in the quote's boot"));
}

// Somebody who knows the owner's auth value begins the event log anew.
TEST_F(Verifier, AnIndexUndefinedAndRedefined) {
  made.emplace(nv);
  auto& g = gateway();
  const PeerMemory memory = remembered();
  g.log_both(CelEvent::drift, drift);
  get(cs::tpm::ExtendIndex::undefine(g.device, g.session, ShownGateway::event_index, g.owner_auth));
  g.define_index();
  g.begin_event_log();
  g.log_event(CelEvent::measured, hash_of("the kernel's policies"));
  g.log_event(CelEvent::certificate_valid, hash_of(ShownGateway::certificate));
  EXPECT_EQ(wrong(g.show(), &memory), (Codes{"event_log_continued", "drift_open", "logs_agree"}));
}

}  // namespace
