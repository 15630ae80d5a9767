// SPDX-License-Identifier: GPL-3.0-or-later
// What its logs say, and whether its registers bear them out.
#include "tests/unit/verifier.h"

namespace {

using cs::keyms::AfterDrift;
using cs::keyms::Criterion;
using cs::keyms::Expectations;
using cs::keyms::Hash;
using cs::keyms::PeerMemory;
using cs::test::Bytes;
using cs::test::Codes;
using cs::test::drift;
using cs::test::get;
using cs::test::hash_of;
using cs::test::Shown;
using cs::test::ShownGateway;
using cs::test::Verifier;
using cs::test::view_of;
using cs::tpm::CelEvent;
using cs::tpm::CelRegister;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;

struct Event {
  CelEvent event;
  Bytes content;
};
Event event(CelEvent kind, const Hash& hash) {
  return {kind, Bytes(hash.begin(), hash.end())};
}
// A log as somebody would forge it.
Bytes forged(const CelRegister& of, const std::vector<Event>& events) {
  constexpr std::array banks{HashAlgorithm::sha256};
  Bytes log;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const auto record = get(write_cel_record(i, of, banks, events[i].event, events[i].content));
    log.insert(log.end(), record.begin(), record.end());
  }
  return log;
}
std::vector<Event> good_static_events() {
  return {event(CelEvent::core_properties, hash_of("the policy")),
          event(CelEvent::configuration, hash_of("the configuration"))};
}
std::vector<Event> good_events() {
  return {event(CelEvent::certificate_valid, hash_of(ShownGateway::certificate)),
          event(CelEvent::measured, hash_of("the kernel's policies"))};
}

TEST_F(Verifier, ABootLogThatIsNotThisBoots) {
  const Shown good = gateway().show();
  Shown shown = good;
  shown.collected.boot.clear();
  EXPECT_EQ(wrong(shown), Codes{"boot_log"});
  shown.collected.boot =
      cs::test::small_boot_log().add(7, cs::tpm::BootEventType::separator, "later").bytes;
  const auto found = judge(shown);
  EXPECT_EQ(failing(found), Codes{"boot_log"});
  EXPECT_EQ(found.of(Criterion::boot_log).where, "boot log, PCR 7");
  gateway().gateway().boot.clear();
  EXPECT_EQ(wrong(gateway().show()), Codes()) << "nobody asks for it";
}

TEST_F(Verifier, ABootThatThePolicyDoesNotAccept) {
  gateway().gateway().boot[1].accepted = {Digest(HashAlgorithm::sha256, 1),
                                          Digest(HashAlgorithm::sha256, 2)};
  const auto found = judge(gateway().show());
  EXPECT_EQ(failing(found), Codes{"boot_value"});
  EXPECT_EQ(found.of(Criterion::boot_value).where, "PCR 4");
}

TEST_F(Verifier, ALogThatIsLongerThanTheQuote) {
  Shown shown = gateway().show();
  gateway().log_event(CelEvent::certificate_valid, hash_of("the next certificate"));
  gateway().log_both(CelEvent::drift, drift);
  shown.collected.static_log = get(gateway().static_log->read());
  shown.collected.event_log = get(gateway().event_log->read());
  const auto found = judge(shown);
  EXPECT_TRUE(found.granted()) << all(found);
  EXPECT_EQ(found.memory->event_log.records, 2U) << "the rest waits for the next quote";
  EXPECT_EQ(wrong(gateway().show()), Codes{"drift_open"});
}

TEST_F(Verifier, ALogThatIsShorterThanTheQuote) {
  gateway().log_both(CelEvent::drift, drift);
  const Shown good = gateway().show();
  const auto& of = gateway().gateway();
  Shown shown = good;
  shown.collected.static_log =
      forged({CelRegister::Kind::pcr, of.static_pcr}, good_static_events());
  EXPECT_TRUE(wrong(shown).contains("static_log"));
  shown = good;
  shown.collected.event_log = forged(of.event_register, good_events());
  EXPECT_TRUE(wrong(shown).contains("event_log"));
  shown.collected.event_log.clear();
  EXPECT_TRUE(wrong(shown).contains("event_log"));
}

TEST_F(Verifier, ALogThatStartsAtAChosenValueAfterDrift) {
  gateway().log_both(CelEvent::drift, drift);
  Shown shown = gateway().show();
  // All it would take were the register's value now as the beginning: there is no such beginning.
  const CelRegister of{CelRegister::Kind::pcr, 15};
  constexpr std::string_view why = "the value found";
  Bytes log = get(write_foreign_cel_record(0, of, std::array{gateway().pcr(15)}, why));
  shown.collected.static_log = log;
  EXPECT_EQ(wrong(shown), (Codes{"static_log", "drift_open"}));
}

// What others have extended is explained beforehand, or not at all.
TEST_F(Verifier, AForeignEventThatNothingExplains) {
  auto& g = gateway();
  const Digest others(HashAlgorithm::sha256, 9);
  g.reboot();
  g.start({{"systemd", {others}}});
  g.log_static(CelEvent::core_properties, hash_of("the policy"));
  g.log_static(CelEvent::configuration, hash_of("the configuration"));
  g.log_first_events();
  const Shown shown = g.show();
  EXPECT_EQ(wrong(shown), Codes{"static_log"});
  Expectations expected = expectations(shown);
  const std::array known{others};
  expected.foreign = known;
  EXPECT_EQ(failing(judge(shown, expected)), Codes());
}

TEST_F(Verifier, LogsOfAnotherBoot) {
  const PeerMemory memory = remembered();
  const Shown before = gateway().show();
  gateway().reboot();
  gateway().boot();
  EXPECT_EQ(wrong(gateway().show(), &memory), Codes()) << "a boot of its own";
  gateway().log_event(CelEvent::certificate_valid, hash_of("another certificate"));
  Shown shown = gateway().show();
  shown.collected.event_log = before.collected.event_log;
  shown.collected.static_log = forged({CelRegister::Kind::pcr, 15}, good_events());
  EXPECT_EQ(wrong(shown, &memory), (Codes{"static_log", "event_log"}));
  // A quote of that boot says so itself.
  const PeerMemory now = remembered();
  EXPECT_TRUE(wrong(before, &now).contains("reset_count"));
}

// The registers can be reset, and the policy says that this is meant.
TEST_F(Verifier, LogsRolledBackWithinABoot) {
  auto& g = gateway();
  g.gateway().static_pcr = 16;
  g.gateway().event_register.number = 23;
  g.gateway().resettable = true;
  const auto begin = [&g] {
    get(reset_pcr(g.device, 16));
    get(reset_pcr(g.device, 23));
    g.begin_static_log();
    g.begin_event_log();
    g.log_static(CelEvent::core_properties, hash_of("the policy"));
    g.log_static(CelEvent::configuration, hash_of("the configuration"));
    g.log_event(CelEvent::measured, hash_of("the kernel's policies"));
    g.log_event(CelEvent::certificate_valid, hash_of(ShownGateway::certificate));
  };
  begin();
  g.log_both(CelEvent::drift, drift);
  const auto drifted = judge(g.show());
  EXPECT_EQ(failing(drifted), Codes{"drift_open"});
  ASSERT_TRUE(drifted.memory) << "what was seen is kept, though it was refused";
  begin();
  const auto found = judge(g.show(), &*drifted.memory);
  EXPECT_EQ(failing(found), (Codes{"static_log_continued", "event_log_continued"}));
  ASSERT_TRUE(found.memory);
  EXPECT_EQ(found.memory->event_log, drifted.memory->event_log) << "nor is it forgotten then";
}

TEST_F(Verifier, APolicyThatIsNotTheAgreedOne) {
  const Shown shown = gateway().show();
  Expectations expected = expectations(shown);
  expected.core_properties = hash_of("the next policy");
  EXPECT_EQ(failing(judge(shown, expected)), Codes{"core_properties"});

  // The plan is applied: the predecessor came before it.
  gateway().policy.predecessor = hash_of("the policy");
  gateway().log_static(CelEvent::core_properties, hash_of("the next policy"));
  const Shown applied = gateway().show();
  Expectations next = expectations(applied);
  next.core_properties = hash_of("the next policy");
  EXPECT_EQ(failing(judge(applied, next)), Codes());
  // Who still runs the former one sees a policy that he does not know.
  gateway().policy.predecessor.reset();
  EXPECT_EQ(wrong(applied), Codes{"core_properties_others"});
  EXPECT_TRUE(judge(applied).granted());
  // An old agreed policy that comes into force again.
  gateway().policy.predecessor = hash_of("the next policy");
  EXPECT_EQ(wrong(applied), Codes{"core_properties"});
}

TEST_F(Verifier, DaemonsConfiguredOtherwise) {
  PeerMemory memory = remembered();
  memory.configuration = filled(1);
  const auto found = judge(gateway().show(), &memory);
  EXPECT_EQ(failing(found), Codes{"configuration_changed"});
  EXPECT_TRUE(found.granted());
  EXPECT_EQ(found.memory->configuration, hash_of("the configuration")) << "told once";

  gateway().reboot();
  gateway().start();
  gateway().log_static(CelEvent::core_properties, hash_of("the policy"));
  gateway().log_first_events();
  EXPECT_EQ(wrong(gateway().show()), Codes{"configuration"});
}

TEST_F(Verifier, ACertificateThatTheLogDoesNotBearOut) {
  const Shown good = gateway().show();
  Expectations expected = expectations(good);
  Shown shown = good;
  auto statement = gateway().statement();
  statement.certificate = hash_of("made by somebody else");
  shown.endpoint = get(cs::keyms::sign_endpoint(gateway().device, *gateway().key, statement));
  expected.channel_certificate = statement.certificate;
  EXPECT_EQ(failing(judge(shown, expected)), Codes{"certificate_logged"});
  gateway().log_event(CelEvent::certificate_revoked, hash_of(ShownGateway::certificate));
  EXPECT_EQ(wrong(gateway().show()), Codes{"certificate_revoked"});
}

TEST_F(Verifier, DriftAndWhatFollowsIt) {
  auto& g = gateway();
  g.log_both(CelEvent::drift, drift);
  auto found = judge(g.show());
  EXPECT_EQ(failing(found), Codes{"drift_open"});
  EXPECT_EQ(found.of(Criterion::drift_open).where, "static log, record 2");
  EXPECT_EQ(found.of(Criterion::drift_open).sentence, drift);
  g.log_both(CelEvent::healing, drift);
  auto& rule = g.policy.attestation.after_drift;
  const Shown healed = g.show();
  rule = AfterDrift::healed;
  EXPECT_EQ(wrong(healed), Codes());
  rule = AfterDrift::reboot;
  EXPECT_EQ(wrong(healed), Codes{"drift_until_reboot"});
  rule = AfterDrift::acknowledged;
  found = judge(healed);
  EXPECT_EQ(failing(found), Codes{"drift_unacknowledged"});

  PeerMemory memory = *found.memory;
  memory.acknowledged = memory.event_log.records;
  found = judge(g.show(), &memory);
  EXPECT_TRUE(found.granted()) << all(found);
  g.log_both(CelEvent::drift, drift);
  g.log_both(CelEvent::healing, drift);
  found = judge(g.show(), &*found.memory);
  EXPECT_EQ(failing(found), Codes{"drift_unacknowledged"}) << "that was another one";
  g.reboot();
  g.boot();
  EXPECT_TRUE(judge(g.show(), &*found.memory).granted());
}

TEST_F(Verifier, DriftInOneLogOnly) {
  get(gateway().static_log->append(gateway().device, CelEvent::drift, view_of(drift)));
  EXPECT_EQ(wrong(gateway().show()), (Codes{"drift_open", "logs_agree"}));
}

TEST_F(Verifier, PoliciesInTheKernelThatWereNotMeasured) {
  Shown shown = gateway().show();
  gateway().log_event(CelEvent::measured, hash_of("other policies"));
  EXPECT_EQ(wrong(shown), Codes()) << "measured after the quote";
  EXPECT_EQ(wrong(gateway().show()), Codes{"spd_measured"});
  gateway().reboot();
  gateway().start();
  gateway().log_static(CelEvent::core_properties, hash_of("the policy"));
  gateway().log_static(CelEvent::configuration, hash_of("the configuration"));
  gateway().log_event(CelEvent::certificate_valid, hash_of(ShownGateway::certificate));
  EXPECT_EQ(wrong(gateway().show()), Codes{"spd_measured"});
}

}  // namespace
