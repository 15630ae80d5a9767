// SPDX-License-Identifier: GPL-3.0-or-later
// A gateway with a real TPM that is as it should be passes; one that is bad in a single point is
// refused for exactly that.
#include "keyms/evidence/verifier.h"

#include <algorithm>
#include <functional>
#include <set>
#include <sstream>

#include "tests/unit/attester.h"
#include "tests/unit/shown_gateway.h"
#include "tpm/evidence/make_credential.h"

namespace {

using cs::ByteView;
using cs::keyms::AfterDrift;
using cs::keyms::Appraisal;
using cs::keyms::Criterion;
using cs::keyms::DigestList;
using cs::keyms::Expectations;
using cs::keyms::Hash;
using cs::keyms::PeerMemory;
using cs::keyms::Proof;
using cs::keyms::Severity;
using cs::keyms::SigningMode;
using cs::test::Bytes;
using cs::test::get;
using cs::test::hash_of;
using cs::test::Roots;
using cs::test::Shown;
using cs::test::ShownGateway;
using cs::test::view_of;
using cs::tpm::CelEvent;
using cs::tpm::CelRegister;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;
using cs::tpm::Verdict;

using Codes = std::set<std::string_view>;

constexpr CelRegister nv{CelRegister::Kind::nv_index, ShownGateway::event_index};
constexpr std::string_view drift = "policy_missing lan: it is not in the kernel";

// Every code that some test has seen fail: in the end that must be all of them.
Codes& seen() {
  static Codes codes;
  return codes;
}

class AllSeen final : public ::testing::Environment {
 public:
  void TearDown() override {
    if (::testing::GTEST_FLAG(filter) != "*") return;
    for (const auto& reason : cs::keyms::criteria()) {
      // What comes back later can only be missing: ASecretThatDoesNotComeBack.
      if (reason.criterion == Criterion::tpm_activation) continue;
      EXPECT_TRUE(seen().contains(reason.code)) << reason.code << ": no gateway is bad in this";
    }
  }
};
const ::testing::Environment* const all_seen =
    ::testing::AddGlobalTestEnvironment(std::make_unique<AllSeen>().release());

class Verifier : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cs::test::require::programs({"swtpm", "tpm2_changeauth"});
    roots.emplace();
  }
  static void TearDownTestSuite() { roots.reset(); }

  ShownGateway& gateway() {
    if (!made) made.emplace();
    return *made;
  }
  Expectations expectations(const Shown& shown, std::string_view nonce = "a nonce") {
    return {.policy = gateway().policy,
            .core_properties = hash_of("the policy"),
            .of = cs::xfrm::End::right,
            .qualifying = ShownGateway::qualifying(shown, nonce),
            .channel_certificate = hash_of(ShownGateway::certificate),
            .roots = roots->read(),
            .lists = lists,
            .clock = gateway().clock};
  }
  Appraisal judge(const Shown& shown, const PeerMemory* memory = nullptr) {
    return judge(shown, expectations(shown), memory);
  }
  static Appraisal judge(const Shown& shown, const Expectations& expected,
                         const PeerMemory* memory = nullptr) {
    Appraisal found = appraise(shown.view(), expected, memory);
    if (found.endorsed) found.activated();
    failing(found);
    return found;
  }
  // What is wrong, told or refused; not what could not be checked because of it.
  static Codes failing(const Appraisal& found) {
    Codes codes;
    for (const auto& reason : cs::keyms::criteria()) {
      if (found.of(reason.criterion).verdict == Verdict::fails) codes.insert(reason.code);
    }
    seen().insert(codes.begin(), codes.end());
    return codes;
  }
  Codes wrong(const Shown& shown, const PeerMemory* memory = nullptr) {
    return failing(judge(shown, memory));
  }
  static std::string all(const Appraisal& found) {
    std::ostringstream text;
    for (const auto& reason : cs::keyms::criteria()) {
      const auto& finding = found.of(reason.criterion);
      text << reason.code << ": " << to_string(finding.verdict) << ": " << finding.where << ": "
           << finding.sentence << "\n";
    }
    return text.str();
  }
  // A list of the files that keymsd's gateway uses, signed.
  void ask_for_ima() {
    const auto key = cs::test::make_ec_key();
    const auto text = get(cs::keyms::format_digest_list(
        "gateway", 1, {{filled(1), "/usr/sbin/keymsd"}, {filled(2), "/usr/bin/ip"}}));
    lists.push_back(get(DigestList::parse(get(cs::keyms::sign_digest_list(text, key.get())))));
    gateway().gateway().ima.emplace();
    gateway().gateway().ima->list_keys = {*lists.back().key()};
    gateway().gateway().ima->ignored = {"/var/log/"};
  }
  static Hash filled(std::uint8_t with) {
    Hash hash{};
    hash.fill(with);
    return hash;
  }
  // Of the gateway as it is now.
  PeerMemory remembered() {
    const auto found = judge(gateway().show());
    EXPECT_TRUE(found.granted()) << all(found);
    return found.memory.value_or(PeerMemory{});
  }

  static inline std::optional<Roots> roots;
  std::optional<ShownGateway> made;
  std::vector<DigestList> lists;
};

Bytes point_of(const cs::tpm::PublicArea& area) {
  Bytes point{4};
  point.insert(point.end(), area.unique.begin(), area.unique.end());
  point.insert(point.end(), area.unique_y.begin(), area.unique_y.end());
  return point;
}

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

TEST_F(Verifier, AGoodGatewayPassesEveryCheck) {
  ask_for_ima();
  const auto found = judge(gateway().show());
  EXPECT_TRUE(found.granted()) << all(found);
  EXPECT_EQ(failing(found), Codes());
  EXPECT_TRUE(found.refused().empty());
  ASSERT_TRUE(found.memory);
  EXPECT_EQ(get(PeerMemory::decode(get(found.memory->encode()))), *found.memory);
  EXPECT_EQ(found.memory->static_log.records, 2U);
  EXPECT_EQ(found.memory->event_log.records, 2U);
  ASSERT_TRUE(found.memory->ima);
  EXPECT_EQ(found.memory->ima->entries, 2U);
  ASSERT_TRUE(found.pcr_digest);
  EXPECT_EQ(found.memory->configuration, hash_of("the configuration"));
}

TEST_F(Verifier, NothingGrantsWhatNobodyLookedAt) {
  EXPECT_FALSE(Appraisal().granted());
  EXPECT_EQ(Appraisal().refused().size(), static_cast<std::size_t>(std::ranges::count(
                                              cs::keyms::criteria(), cs::keyms::Severity::refuse,
                                              &cs::keyms::CriterionText::severity)));
  Appraisal found;
  for (const auto& reason : cs::keyms::criteria()) found.holds(reason.criterion, "it does");
  EXPECT_TRUE(found.granted());
  found.fails(Criterion::quote_form, "it does not");
  found.holds(Criterion::quote_form, "it does");
  EXPECT_FALSE(found.granted()) << "a failure that something else has painted over";
}

TEST_F(Verifier, SoDoesOneWithARegisterInNvAndItsKeyInTheTpm) {
  made.emplace(nv);
  gateway().sign_in_tpm(signing_registers(gateway().gateway()));
  const auto found = judge(gateway().show());
  EXPECT_TRUE(found.granted()) << all(found);
  EXPECT_EQ(failing(found), Codes());
}

TEST_F(Verifier, AGatewayByAnotherName) {
  Shown shown = gateway().show();
  shown.evidence.ne_id = "hamburg-2\x1b[2J";
  const auto found = judge(shown);
  EXPECT_EQ(failing(found), Codes{"ne_id"});
  EXPECT_EQ(found.of(Criterion::ne_id).sentence, "expected hamburg-1, found hamburg-2\\x1b[2J");
}

TEST_F(Verifier, AGoodTpmThatIsNotTheOneThePolicyNames) {
  const Shown shown = gateway().show();
  ShownGateway other;
  gateway().gateway().attestation_key = other.gateway().attestation_key;
  const auto found = judge(shown);
  EXPECT_EQ(failing(found), Codes{"ak_name"});
  EXPECT_FALSE(found.memory) << "somebody else's";
  gateway().gateway().attestation_key.reset();
  gateway().gateway().authority = filled(1);
  EXPECT_EQ(wrong(shown), Codes{"ak_name"});
}

TEST_F(Verifier, AKeyThatSignsAnything) {
  Shown shown = gateway().show();
  const cs::test::Forger forger;
  namespace attribute = cs::tpm::attribute;
  const auto area = forger.area(attribute::sign | attribute::fixed_tpm | attribute::fixed_parent |
                                attribute::sensitive_data_origin);
  shown.key_area = area.encode();
  gateway().gateway().attestation_key = name_of(area);
  EXPECT_EQ(wrong(shown), (Codes{"ak_attributes", "endpoint_signature", "quote_signature"}));
  shown.key_area = {1, 2, 3};
  EXPECT_TRUE(wrong(shown).contains("ak_attributes"));
  shown.key_area = Bytes(70000);
  EXPECT_TRUE(wrong(shown).contains("ak_attributes"));
}

TEST_F(Verifier, ATpmThatNobodyVouchesFor) {
  Shown shown = gateway().show();
  Expectations expected = expectations(shown);
  expected.roots = nullptr;
  EXPECT_EQ(failing(judge(shown, expected)), (Codes{"tpm_vendor", "tpm_unproven"}));
  shown.endorsement_key = shown.key_area;
  EXPECT_EQ(wrong(shown), (Codes{"tpm_vendor", "tpm_unproven"}))
      << "not what the certificate is of";
  EXPECT_FALSE(appraise(shown.view(), expectations(shown), nullptr).only_proof_missing());
  shown.endorsement_key.clear();
  EXPECT_EQ(wrong(shown), (Codes{"tpm_vendor", "tpm_unproven"}));

  gateway().gateway().proof = Proof::optional;
  const auto found = judge(shown);
  EXPECT_TRUE(found.granted()) << all(found);
  EXPECT_EQ(found.failed(Severity::note), std::vector{Criterion::tpm_unproven});
}

TEST_F(Verifier, ASecretThatDoesNotComeBack) {
  const Shown shown = gateway().show();
  const Expectations expected = expectations(shown);
  auto found = appraise(shown.view(), expected, nullptr);
  EXPECT_FALSE(found.granted());
  EXPECT_TRUE(found.only_proof_missing());
  EXPECT_EQ(found.refused(), std::vector{Criterion::tpm_activation});
  EXPECT_EQ(found.failed(Severity::note), std::vector{Criterion::tpm_unproven});
  EXPECT_FALSE(found.memory->proven_under);
  EXPECT_TRUE(wants_proof(expected, &*found.memory));
  found.activated();
  EXPECT_TRUE(found.granted());
  EXPECT_FALSE(wants_proof(expected, &*found.memory));
  auto again = appraise(shown.view(), expected, &*found.memory);
  EXPECT_TRUE(again.granted()) << "it was proven before";
  EXPECT_EQ(again.memory->proven_under, found.memory->proven_under);
  // Whoever takes a vendor out of the directory shuts out its TPMs, also those that are known.
  PeerMemory memory = *found.memory;
  memory.proven_under = filled(1);
  EXPECT_TRUE(wants_proof(expected, &memory));
  EXPECT_TRUE(appraise(shown.view(), expected, &memory).only_proof_missing());

  Shown other = shown;
  other.evidence.ne_id = "berlin-2";
  EXPECT_FALSE(appraise(other.view(), expected, nullptr).only_proof_missing());
}

TEST_F(Verifier, ACredentialIsForTheKeyThatIsCertified) {
  auto& g = gateway();
  const Shown shown = g.show();
  const auto endorsement = get(cs::keyms::find_endorsement(
      shown.endorsement_key, shown.certificates, *roots->read(), g.clock));
  get(g.key->object().use(g.device));
  const auto secret = get(cs::SecretBytes::copy_of(view_of("0123456789abcdef")));
  const auto credential =
      get(cs::tpm::make_credential(endorsement.area, *g.gateway().attestation_key, secret));
  const auto opened = get(
      g.key->activate(g.device, g.endorsement, credential.id_object, credential.encrypted_secret));
  EXPECT_TRUE(std::ranges::equal(opened.bytes(), secret.bytes()));
}

TEST_F(Verifier, AHelloIsJudgedByWhatItShows) {
  const Shown shown = gateway().show();
  cs::keyms::Evidence hello;
  hello.ne_id = "hamburg-1";
  hello.attestation_key = shown.key_area;
  hello.endpoint = shown.endpoint.view();
  EXPECT_TRUE(appraise_hello(hello, expectations(shown)).failed(Severity::refuse).empty());
  hello.endpoint.signature = {};
  EXPECT_EQ(appraise_hello(hello, expectations(shown)).failed(Severity::refuse),
            std::vector{Criterion::endpoint_signature});
}

TEST_F(Verifier, AnEndpointThatIsNotItsOwn) {
  const Shown good = gateway().show();
  const auto with = [&](const cs::keyms::EndpointStatement& statement) {
    Shown shown = good;
    shown.endpoint = get(cs::keyms::sign_endpoint(gateway().device, *gateway().key, statement));
    return wrong(shown);
  };
  auto statement = gateway().statement();
  statement.ne_id = "berlin-1";
  EXPECT_EQ(with(statement), Codes{"endpoint_statement"});
  statement = gateway().statement();
  Expectations relayed = expectations(good);
  relayed.channel_certificate = filled(1);
  EXPECT_EQ(failing(judge(good, relayed)), Codes{"endpoint_certificate"});
  statement = gateway().statement();
  statement.not_after = statement.not_before + 86401;
  EXPECT_EQ(with(statement), Codes{"endpoint_validity"});
  statement.not_after = statement.not_before + 5;
  EXPECT_EQ(with(statement), Codes{"endpoint_validity"}) << "over";

  Shown shown = good;
  shown.endpoint.bytes.back() ^= 1U;  // a second more
  EXPECT_EQ(wrong(shown), Codes{"endpoint_signature"});
  shown.endpoint.bytes.push_back(0);
  EXPECT_EQ(wrong(shown), (Codes{"endpoint_statement", "endpoint_signature"}));
  shown = good;
  shown.endpoint.signature.clear();
  EXPECT_EQ(wrong(shown), Codes{"endpoint_signature"});
}

// Ours, that is: the peer's is right.
// An IKE daemon may tell none: then the log alone has to bear it out.
TEST_F(Verifier, AChannelWithoutCertificates) {
  Shown shown = gateway().show();
  Expectations expected = expectations(shown);
  expected.channel_certificate.reset();
  EXPECT_EQ(failing(judge(shown, expected)), Codes());
  auto statement = gateway().statement();
  statement.certificate = filled(1);
  shown.endpoint = get(cs::keyms::sign_endpoint(gateway().device, *gateway().key, statement));
  EXPECT_EQ(failing(judge(shown, expected)), Codes{"certificate_logged"});
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

TEST_F(Verifier, AFileThatIsInNoList) {
  ask_for_ima();
  gateway().file("/usr/bin/ip", 2);
  gateway().file("/var/log/anything", 9);
  const PeerMemory good = remembered();
  ASSERT_TRUE(good.ima);
  gateway().file("/tmp/ip", 2);
  auto found = judge(gateway().show());
  EXPECT_EQ(failing(found), Codes{"ima_file"}) << "its content is accepted, but not there";
  EXPECT_EQ(found.of(Criterion::ima_file).where, "/tmp/ip");
  ASSERT_TRUE(found.memory);
  EXPECT_EQ(wrong(gateway().show(), &*found.memory), Codes{"ima_file"}) << "nor at the next time";
  EXPECT_FALSE(found.memory->ima) << "what was refused is not passed over";
  found = judge(gateway().show(), &good);
  EXPECT_EQ(found.memory->ima, good.ima);
  for (int i = 0; i < 20; ++i) gateway().file("/tmp/x" + std::to_string(i), 3);
  found = judge(gateway().show());
  EXPECT_TRUE(found.of(Criterion::ima_file).sentence.ends_with("; and 16 more"));
  const Expectations expected = [&] {
    lists.clear();
    return expectations(gateway().show());
  }();
  EXPECT_EQ(failing(judge(gateway().show(), expected)), (Codes{"digest_list", "ima_file"}));
}

TEST_F(Verifier, OnlyWhatIsNewOfAListHasToBeSent) {
  ask_for_ima();
  const auto first = judge(gateway().show());
  ASSERT_TRUE(first.granted()) << all(first);
  gateway().file("/usr/bin/ip", 2);
  const std::uint64_t offset = first.memory->ima->offset;
  const Shown rest = gateway().show("a nonce", offset);
  EXPECT_EQ(wanted_ima_offset(rest.view(), expectations(rest), &*first.memory), offset);
  const auto second = judge(rest, &*first.memory);
  EXPECT_TRUE(second.granted()) << all(second);
  EXPECT_EQ(second.memory->ima->entries, 3U);
  EXPECT_EQ(second.memory->ima, judge(gateway().show()).memory->ima) << "as from the whole list";
  const Shown nothing = gateway().show("a nonce", second.memory->ima->offset);
  EXPECT_TRUE(judge(nothing, &*second.memory).granted());
  EXPECT_EQ(judge(nothing, &*second.memory).memory->ima, second.memory->ima);

  EXPECT_EQ(wrong(rest), Codes{"ima_part"});
  EXPECT_EQ(wrong(rest, &*second.memory), Codes{"ima_part"});
  // Judged by other rules, all of it is judged again.
  PeerMemory memory = *first.memory;
  memory.ima->rules = filled(1);
  EXPECT_EQ(wanted_ima_offset(rest.view(), expectations(rest), &memory), 0U);
  EXPECT_EQ(wrong(rest, &memory), Codes{"ima_part"});
  // A reset that nobody tells of: the quote does.
  gateway().reboot();
  gateway().boot();
  gateway().file("/usr/bin/ip", 2);
  const Shown hidden = gateway().show("a nonce", offset);
  EXPECT_EQ(wanted_ima_offset(hidden.view(), expectations(hidden), &*first.memory), 0U);
  EXPECT_EQ(wrong(hidden, &*first.memory), Codes{"ima_part"});
}

TEST_F(Verifier, AListOfFilesThatPcr10DoesNotBearOut) {
  ask_for_ima();
  Shown shown = gateway().show();
  shown.ima.clear();
  EXPECT_EQ(wrong(shown), Codes{"ima_log"});
  shown.ima =
      Bytes(gateway().ima.binary.begin(),
            gateway().ima.binary.begin() + static_cast<std::ptrdiff_t>(gateway().ima.borders[1]));
  EXPECT_EQ(wrong(shown), Codes{"ima_log"}) << "shorter";
  shown = gateway().show();
  gateway().file("/tmp/later", 9);
  shown.ima = gateway().ima.binary;
  EXPECT_EQ(wrong(shown), Codes()) << "longer: judged at the next time";
  shown.ima = cs::test::bytes_of(gateway().ima.text);
  EXPECT_EQ(wrong(shown), Codes{"ima_log"});
}

TEST_F(Verifier, AListOfAnotherBoot) {
  ask_for_ima();
  get(extend_pcr(gateway().device, 5, {Digest(HashAlgorithm::sha256, 1)}));
  EXPECT_EQ(wrong(gateway().show()), Codes{"ima_boot_aggregate"});
}

TEST_F(Verifier, AFileThatWasWrittenWhileItWasMeasured) {
  ask_for_ima();
  gateway().ima.violation("/usr/sbin/keymsd");
  gateway().extend_ima();
  const auto found = judge(gateway().show());
  EXPECT_EQ(failing(found), Codes{"ima_violation"});
  EXPECT_EQ(found.of(Criterion::ima_violation).where, "/usr/sbin/keymsd");
  gateway().gateway().ima->accept_violations = true;
  EXPECT_EQ(wrong(gateway().show()), Codes());
}

TEST_F(Verifier, ASessionKeyOfTheWrongKind) {
  const Shown good = gateway().show();
  Shown shown = good;
  shown.evidence.session_key.suite = 2;
  EXPECT_EQ(wrong(shown), Codes{"session_key"});
  shown.evidence.session_key.suite = 9;
  EXPECT_EQ(wrong(shown), Codes{"session_key"});
  shown = good;
  shown.evidence.session_key.not_after += 61;
  EXPECT_EQ(wrong(shown), Codes{"session_key_lifetime"});
  shown.evidence.session_key.not_after = ~std::uint64_t{0};
  EXPECT_EQ(wrong(shown), Codes{"session_key_lifetime"});
  shown = good;
  shown.evidence.session_key.lifetime_ms += 1;
  EXPECT_EQ(wrong(shown), Codes{"session_key_lifetime"});
  gateway().policy.signing.mode = SigningMode::tpm;
  EXPECT_EQ(wrong(good), (Codes{"session_key", "session_key_resident"}));
}

TEST_F(Verifier, ASessionKeyThatIsNoPointOfItsCurve) {
  auto& g = gateway();
  Shown shown = g.show();
  shown.session_key.back() ^= 1U;
  // It has quoted with that key in mind.
  shown.collected =
      get(cs::keyms::collect(g.device, g.sources(), ShownGateway::qualifying(shown, "a nonce")));
  EXPECT_EQ(wrong(shown), Codes{"session_key"});
  shown.session_key.pop_back();
  shown.collected =
      get(cs::keyms::collect(g.device, g.sources(), ShownGateway::qualifying(shown, "a nonce")));
  EXPECT_EQ(wrong(shown), Codes{"session_key"});
}

TEST_F(Verifier, ASessionKeyThatIsNotBoundToTheRegisters) {
  auto& g = gateway();
  g.sign_in_tpm({{{HashAlgorithm::sha256, 1U << 15U}}});
  EXPECT_EQ(wrong(g.show()), Codes{"session_key_resident"}) << "not to those of the boot";
  g.sign_in_tpm(signing_registers(g.gateway()));
  const Shown good = g.show();
  EXPECT_EQ(wrong(good), Codes());
  Shown shown = good;
  shown.collected.session_key->certified = g.show("another").collected.session_key->certified;
  EXPECT_EQ(wrong(shown), Codes{"session_key_resident"});
  shown = good;
  shown.collected.session_key->area = shown.key_area;
  EXPECT_EQ(wrong(shown), Codes{"session_key_resident"});
  g.log_both(CelEvent::drift, drift);
  EXPECT_EQ(wrong(g.show()), (Codes{"drift_open", "session_key_resident"})) << "it is of no use";
}

}  // namespace
