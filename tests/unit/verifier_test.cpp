// SPDX-License-Identifier: GPL-3.0-or-later
// A gateway with a real TPM that is as it should be passes; one that is bad in a single point is
// refused for exactly that.
#include "tests/unit/verifier.h"

#include "tpm/evidence/make_credential.h"

namespace {

using cs::keyms::Appraisal;
using cs::keyms::Criterion;
using cs::keyms::Expectations;
using cs::keyms::PeerMemory;
using cs::keyms::Proof;
using cs::keyms::Severity;
using cs::test::Bytes;
using cs::test::Codes;
using cs::test::get;
using cs::test::hash_of;
using cs::test::nv;
using cs::test::seen;
using cs::test::Shown;
using cs::test::ShownGateway;
using cs::test::Verifier;
using cs::test::view_of;

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

}  // namespace
