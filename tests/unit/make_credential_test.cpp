// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/make_credential.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/require.h"
#include "tests/unit/attester.h"
#include "tpm/evidence/kdf.h"
#include "tpm/evidence/name.h"

namespace {

using cs::SecretBytes;
using cs::test::Attester;
using cs::test::get;
using cs::test::unhex;
using cs::tpm::Bytes;
using cs::tpm::Credential;
using cs::tpm::HashAlgorithm;
using cs::tpm::Name;
using cs::tpm::PublicArea;

SecretBytes secret_of(std::string_view hex) {
  return get(SecretBytes::copy_of(unhex(hex)));
}

Bytes bytes(const SecretBytes& secret) {
  return {secret.bytes().begin(), secret.bytes().end()};
}

// What go-tpm's tests have: of its own for KDFa, of Microsoft's simulator for KDFe.
TEST(Kdf, IsTheTpmsOwn) {
  EXPECT_EQ(bytes(get(kdfa(HashAlgorithm::sha256, secret_of("796f6c6f00"),
                           {"IDENTITY", unhex("6b656b00"), unhex("796f796f00")}, 16))),
            unhex("d2d72cc7a8a5eb09e8c79012e2da9f22"));
  EXPECT_EQ(
      bytes(get(kdfe(
          HashAlgorithm::sha256,
          secret_of("69fd74d052a5cd9d6addf4ea791f4737eb297246dce604f6385c1392e0fb56b9"),
          {"DUPLICATE", unhex("c29f8cff1ce054ed5945abd393ee2eed3f67437d9db07b932156c65d32921373"),
           unhex("107937dc44e5bb5094d3d30a55efac77b6db3253ba42dabc804446b93864e055")},
          32))),
      unhex("b15267e3f960f8f8f3b94ff3fc64119f6876974f984f82d50bd54abc7a6406e8"));
}

class MakeCredential : public testing::Test {
 protected:
  static constexpr auto ek_p256 = "0x81010002";
  static constexpr auto ek_p384 = "0x81010003";

  static void SetUpTestSuite() {
    attester = std::make_unique<Attester>();
    attester->tool({"tpm2_createek", "-Q", "-c", ek_p256, "-G", "ecc", "-u", attester->file("e")});
    attester->tool(
        {"tpm2_createek", "-Q", "-c", ek_p384, "-G", "ecc384", "-u", attester->file("e")});
  }

  // The two structures in the file that tpm2_activatecredential reads.
  static void write(const Credential& credential) {
    Bytes all = unhex("badcc0de00000001");
    all.insert(all.end(), credential.id_object.begin(), credential.id_object.end());
    all.insert(all.end(), credential.encrypted_secret.begin(), credential.encrypted_secret.end());
    std::ofstream(attester->file("credential"), std::ios::binary)
        .write(reinterpret_cast<const char*>(all.data()), static_cast<std::streamsize>(all.size()));
  }
  // By the TPM that has the endorsement key, for `object`. The high range of templates, P-384 here,
  // lets the empty password do where the low one wants the endorsement hierarchy's.
  static cs::Result<std::string> activate(const std::string& ek, const std::string& object) {
    std::vector<std::string> argv{"tpm2_activatecredential",
                                  "-Q",
                                  "-c",
                                  object,
                                  "-C",
                                  ek,
                                  "-i",
                                  attester->file("credential"),
                                  "-o",
                                  attester->file("activated")};
    if (ek == ek_p384) return attester->try_tool(argv);
    const std::string session = attester->file("session");
    attester->tool({"tpm2_startauthsession", "-Q", "--policy-session", "-S", session});
    attester->tool({"tpm2_policysecret", "-Q", "-S", session, "-c", "e"});
    argv.insert(argv.end(), {"-P", "session:" + session});
    auto done = attester->try_tool(argv);
    attester->tool({"tpm2_flushcontext", session});
    return done;
  }

  inline static std::unique_ptr<Attester> attester;
};

TEST_F(MakeCredential, IsActivatedByTheTpmWithTheEndorsementKey) {
  const Name ak = name_of(attester->area(Attester::ak_ecdsa));
  for (const auto* ek : {Attester::ek_rsa, ek_p256, ek_p384}) {
    for (const std::string_view secret :
         {"42", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"}) {
      write(get(make_credential(attester->area(ek), ak, secret_of(secret))));
      const auto done = activate(ek, Attester::ak_ecdsa);
      ASSERT_TRUE(done.ok()) << ek << done.error().message();
      EXPECT_EQ(attester->read("activated"), unhex(secret));
    }
    const auto other = activate(ek, Attester::ak_rsassa);
    EXPECT_FALSE(other.ok()) << "activated for another object";
  }
}

TEST_F(MakeCredential, DiffersEachTime) {
  const PublicArea ek = attester->area(ek_p256);
  const Name ak = name_of(attester->area(Attester::ak_ecdsa));
  EXPECT_NE(get(make_credential(ek, ak, secret_of("42"))).encrypted_secret,
            get(make_credential(ek, ak, secret_of("42"))).encrypted_secret);
}

TEST_F(MakeCredential, IsOnlyForStorageKeysAndShortSecrets) {
  const PublicArea ek = attester->area(ek_p256);
  const Name ak = name_of(attester->area(Attester::ak_ecdsa));
  const auto refusal = [&](const PublicArea& key, const Name& name, const std::string& secret) {
    const auto made = make_credential(key, name, secret_of(secret));
    return made.ok() ? "made" : made.error().message();
  };
  EXPECT_EQ(refusal(ek, ak, "42"), "made");
  EXPECT_EQ(refusal(attester->area(Attester::ak_ecdsa), ak, "42"),
            "making a credential: the endorsement key is no storage key");
  EXPECT_EQ(refusal(ek, Name::of_handle(cs::tpm::owner_hierarchy), "42"),
            "making a credential: the object has no Name of a digest");
  EXPECT_EQ(refusal(ek, ak, std::string(66, '0')),
            "making a credential: a secret of 33 bytes, at most 32");
  PublicArea other = ek;
  other.symmetric.mode = cs::tpm::Algorithm::null;
  EXPECT_NE(refusal(other, ak, "42"), "made");
  other = ek;
  other.name_algorithm = HashAlgorithm::sha1;
  EXPECT_NE(refusal(other, ak, "42"), "made");
  other = ek;
  other.unique.back() ^= 1;  // no point of the curve
  EXPECT_NE(refusal(other, ak, "42"), "made");
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  cs::test::require::programs({"swtpm", "tpm2_activatecredential"});
  return RUN_ALL_TESTS();
}
