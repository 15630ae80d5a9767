// SPDX-License-Identifier: GPL-3.0-or-later
// Keys and NV contents that a TPM certifies, and keys that must not pass for what they are not.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/require.h"
#include "tests/unit/attester.h"
#include "tpm/evidence/certify.h"
#include "tpm/evidence/key_check.h"
#include "tpm/evidence/name.h"
#include "tpm/evidence/policy.h"

namespace {

using cs::ByteView;
using cs::test::Attester;
using cs::test::Forger;
using cs::test::get;
using cs::test::unhex;
using cs::tpm::AttestExpectations;
using cs::tpm::Bytes;
using cs::tpm::Digest;
using cs::tpm::Findings;
using cs::tpm::HashAlgorithm;
using cs::tpm::Name;
using cs::tpm::PcrSelection;
using cs::tpm::PcrValues;
using cs::tpm::PublicArea;
using cs::tpm::PublicKey;
using cs::tpm::Verdict;

namespace attribute = cs::tpm::attribute;

using Codes = std::vector<std::string_view>;

constexpr auto selection = "sha256:0,15";
constexpr auto srk = "0x81000001";
constexpr auto certified = "0x81000010";
constexpr std::string_view as_agreed = "fixedtpm|fixedparent|sensitivedataorigin|sign|noda";
constexpr auto nonce = "c0ffee";

cs::tpm::SigningKeyPolicy agreed() {
  PcrValues values;
  for (const std::uint32_t index : {0U, 15U}) {
    get(values.set(index, Digest(HashAlgorithm::sha256)));
  }
  const auto pcrs = get(PcrSelection::parse(selection));
  return {pcrs, get(values.composite(pcrs, HashAlgorithm::sha256))};
}

Codes failures(const Findings& findings) {
  return findings.codes(Verdict::fails);
}

class TpmKey : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (attester) return;
    attester = std::make_unique<Attester>();
    attester->tool({"tpm2_createprimary", "-Q", "-C", "o", "-c", attester->file("srk")});
    attester->tool({"tpm2_evictcontrol", "-Q", "-c", attester->file("srk"), srk});
    attester->tool({"tpm2_createpolicy", "-Q", "--policy-pcr", "-l", selection, "-L",
                    attester->file("policy")});
    make("agreed", as_agreed);
    attester->tool({"tpm2_evictcontrol", "-Q", "-c", attester->file("agreed"), certified});
  }

  static void make(const std::string& name, std::string_view attributes) {
    attester->tool({"tpm2_create", "-Q", "-C", srk, "-G", "ecc:ecdsa-sha256", "-a",
                    std::string(attributes), "-L", attester->file("policy"), "-u",
                    attester->file("public"), "-r", attester->file("private"), "-c",
                    attester->file(name)});
  }
  static PublicArea area(const std::string& name) { return attester->area(attester->file(name)); }
  static cs::Result<std::string> certify(const std::string& object) {
    return attester->try_tool({"tpm2_certify", "-Q", "-c", object, "-C", Attester::ak_ecdsa, "-g",
                               "sha256", "-o", attester->file("attest"), "-s",
                               attester->file("signature")});
  }

  inline static std::unique_ptr<Attester> attester;
};

TEST_F(TpmKey, AsAgreedPasses) {
  const Findings findings = check_signing_key(area("agreed"), agreed());
  EXPECT_TRUE(findings.all_hold()) << findings.codes(Verdict::fails).front();
}

TEST_F(TpmKey, ThatAPasswordOpensIsRefused) {
  make("open", std::string(as_agreed) + "|userwithauth");
  // What it is refused for: it signs with an empty password, whatever the PCRs are.
  attester->tool({"tpm2_pcrextend", "15:sha256=" + std::string(64, '1')});
  attester->tool({"tpm2_sign", "-Q", "-c", attester->file("open"), "-g", "sha256", "-o",
                  attester->file("signed"), attester->file("policy")});
  EXPECT_EQ(failures(check_signing_key(area("open"), agreed())), Codes{"userwithauth"});
  EXPECT_FALSE(attester
                   ->try_tool({"tpm2_sign", "-Q", "-c", attester->file("agreed"), "-g", "sha256",
                               "-o", attester->file("signed"), attester->file("policy")})
                   .ok());
}

TEST_F(TpmKey, ThatCannotBeCertifiedIsRefused) {
  make("admin", std::string(as_agreed) + "|adminwithpolicy");
  EXPECT_FALSE(certify(attester->file("admin")).ok());
  EXPECT_EQ(failures(check_signing_key(area("admin"), agreed())), Codes{"adminwithpolicy"});
}

TEST_F(TpmKey, WithAnyOtherAttributeIsRefusedByItsName) {
  const PublicArea good = area("agreed");
  for (unsigned bit = 0; bit < 32; ++bit) {
    PublicArea other = good;
    other.attributes ^= 1U << bit;
    const std::string word = cs::tpm::attribute_words(1U << bit);
    const Codes found = failures(check_signing_key(other, agreed()));
    ASSERT_EQ(found.size(), 1U) << word;
    const bool has_a_code = word != "stclear" && word != "encryptedduplication" &&
                            word != "x509sign" && !word.starts_with("bit");
    EXPECT_EQ(found.front(), has_a_code ? word : "other_attributes");
  }
}

TEST_F(TpmKey, WithAnotherPolicyOrAlgorithmIsRefused) {
  const PublicArea good = area("agreed");
  PublicArea other = good;
  other.policy.clear();
  EXPECT_EQ(failures(check_signing_key(other, agreed())), Codes{"policy"});
  auto policy = agreed();
  policy.selection = get(PcrSelection::parse("sha256:0"));
  EXPECT_EQ(failures(check_signing_key(good, policy)), Codes{"policy"});
  policy = agreed();
  policy.composite = Digest(HashAlgorithm::sha256);
  EXPECT_EQ(failures(check_signing_key(good, policy)), Codes{"policy"});
  policy = agreed();
  policy.scheme.hash = HashAlgorithm::sha384;
  EXPECT_EQ(failures(check_signing_key(good, policy)), Codes{"scheme"});
  other = good;
  other.curve = cs::tpm::Curve::p384;
  EXPECT_EQ(failures(check_signing_key(other, agreed())), Codes{"key_type"});
  other = good;
  other.name_algorithm = HashAlgorithm::sha1;
  EXPECT_EQ(failures(check_signing_key(other, agreed())), Codes{"name_algorithm"});
}

TEST_F(TpmKey, AttestationKeysAreKnownByWhatTheyMaySign) {
  for (const auto* ak : {Attester::ak_ecdsa, Attester::ak_rsassa}) {
    EXPECT_TRUE(check_attestation_key(attester->area(ak)).all_hold()) << ak;
  }
  const PublicArea pss = attester->area(Attester::ak_rsapss);
  EXPECT_EQ(failures(check_attestation_key(pss)), Codes{"scheme"});
  EXPECT_TRUE(check_attestation_attributes(pss).all_hold());
  EXPECT_EQ(failures(check_attestation_key(area("agreed"))), Codes{"restricted"});
  EXPECT_EQ(failures(check_attestation_key(attester->area(Attester::ek_rsa))),
            (Codes{"sign", "decrypt", "scheme"}));
  PublicArea other = attester->area(Attester::ak_ecdsa);
  other.attributes |= 1U << 20U;
  EXPECT_EQ(failures(check_attestation_key(other)), Codes{"other_attributes"});
}

class Certified : public TpmKey {
 protected:
  void SetUp() override {
    get(certify(certified));
    attest = attester->read("attest");
    expected.attest.signer =
        qualified_name(attester->area(Attester::ak_ecdsa),
                       qualified_name(attester->area(Attester::ek_rsa),
                                      Name::of_handle(cs::tpm::endorsement_hierarchy)));
    expected.attest.qualifying_data = unhex("00ff55aa");  // which tpm2_certify sends
    expected.subject = attester->area(certified);
    expected.parent =
        qualified_name(attester->area(srk), Name::of_handle(cs::tpm::owner_hierarchy));
  }
  Codes forged() {
    const PublicKey key = get(PublicKey::from_pem(forger.pem()));
    const auto file = get(read_signature(forger.sign(attest), key));
    return failures(get(verify_certify({attest, file.signature, key}, expected.subject,
                                       expected.parent, expected.attest)));
  }

  struct Expected {
    AttestExpectations attest;
    PublicArea subject;
    Name parent;
  } expected;
  Forger forger;
  Bytes attest;
};

TEST_F(Certified, KeyOfTheSameTpmPasses) {
  const PublicKey ak = attester->key(Attester::ak_ecdsa);
  const auto file = get(read_signature(attester->read("signature"), ak));
  const Findings findings = get(verify_certify({attest, file.signature, ak}, expected.subject,
                                               expected.parent, expected.attest));
  EXPECT_TRUE(findings.all_hold()) << findings.codes(Verdict::fails).front();
  EXPECT_EQ(forged(), Codes{});
}

TEST_F(Certified, AnotherKeyOrPlaceIsRefused) {
  const PublicArea good = expected.subject;
  expected.subject.attributes ^= attribute::user_with_auth;
  EXPECT_EQ(forged(), (Codes{"name", "qualified_name"}));
  expected.subject = good;
  expected.parent = Name::of_handle(cs::tpm::platform_hierarchy);
  EXPECT_EQ(forged(), Codes{"qualified_name"});
}

TEST_F(Certified, ForgeriesAreRefused) {
  attest.at(0) ^= 1;
  EXPECT_EQ(forged(), Codes{"magic"});
  attest.at(0) ^= 1;
  expected.attest.qualifying_data = unhex(nonce);
  EXPECT_EQ(forged(), Codes{"qualifying_data"});
  attester->quote(Attester::ak_ecdsa, "sha256:0", nonce);
  attest = attester->read("attest");
  EXPECT_EQ(forged(), Codes{"type"});
}

TEST_F(TpmKey, NvContentsAreCertifiedWholeInPartAndByDigest) {
  attester->tool({"tpm2_nvdefine", "-Q", "0x01500002", "-C", "o", "-s", "8", "-a",
                  "ownerwrite|ownerread|authread"});
  attester->tool({"tpm2_nvwrite", "-Q", "0x01500002", "-C", "o", "-i", "-"}, "contents");
  const std::string text = "contents";
  const cs::tpm::NvPublic index{0x01500002, HashAlgorithm::sha256, 0x20060002, {}, 8};
  const PublicKey ak = attester->key(Attester::ak_ecdsa);
  struct Part {
    std::string size, offset, bytes;
  };
  for (const Part& part :
       {Part{"8", "0", "contents"}, Part{"3", "2", "nte"}, Part{"0", "0", "contents"}}) {
    attester->tool({"tpm2_nvcertify",
                    "-Q",
                    "-C",
                    Attester::ak_ecdsa,
                    "-c",
                    "o",
                    "-g",
                    "sha256",
                    "-s",
                    "ecdsa",
                    "--size",
                    part.size,
                    "--offset",
                    part.offset,
                    "-q",
                    nonce,
                    "-o",
                    attester->file("signature"),
                    "--attestation",
                    attester->file("attest"),
                    "0x01500002"});
    const Bytes attest = attester->read("attest");
    const auto file = get(read_signature(attester->read("signature"), ak));
    const AttestExpectations expected{unhex(nonce), {}};
    const auto found = [&](const cs::tpm::NvContents& contents) {
      return failures(get(verify_nv_certify({attest, file.signature, ak}, contents, expected)));
    };
    cs::tpm::NvContents contents{index,
                                 static_cast<std::uint16_t>(std::stoi(part.offset)),
                                 {part.bytes.begin(), part.bytes.end()}};
    EXPECT_EQ(found(contents), Codes{}) << part.size;
    contents.bytes.back() ^= 1;
    EXPECT_EQ(found(contents), Codes{"contents"});
    contents.bytes.back() ^= 1;
    contents.offset += 1;
    EXPECT_EQ(found(contents), Codes{"offset"});
    contents.offset -= 1;
    contents.index.attributes ^= 1;
    EXPECT_EQ(found(contents), Codes{"name"});
  }
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  cs::test::require::programs({"swtpm", "tpm2_certify"});
  return RUN_ALL_TESTS();
}
