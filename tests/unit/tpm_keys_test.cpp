// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/byte_writer.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/support/tcti_tap.h"
#include "tests/support/unwrap.h"
#include "tpm/device/attestation_key.h"
#include "tpm/device/authorization.h"
#include "tpm/device/child_key.h"
#include "tpm/device/marshal.h"
#include "tpm/device/nv.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/signing_key.h"
#include "tpm/evidence/public_area.h"
#include "tpm/seal/nv_counter.h"

namespace {

using cs::ByteView;
using cs::ErrorKind;
using cs::Result;
using cs::SecretBytes;
using cs::test::Fate;
using cs::test::get;
using cs::test::Swtpm;
using cs::test::TctiTap;
using cs::tpm::AttestationKey;
using cs::tpm::Auth;
using cs::tpm::Device;
using cs::tpm::Digest;
using cs::tpm::EcdsaSignature;
using cs::tpm::EsysHandle;
using cs::tpm::ExtendIndex;
using cs::tpm::HashAlgorithm;
using cs::tpm::Hasher;
using cs::tpm::KeyType;
using cs::tpm::Out;
using cs::tpm::PcrSelection;
using cs::tpm::SaltedSession;
using cs::tpm::SigningKey;
using cs::tpm::VolatileObject;

using Bytes = std::vector<std::uint8_t>;

ByteView bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
Auth auth(std::string_view text) {
  return std::make_shared<const SecretBytes>(get(SecretBytes::copy_of(bytes(text))));
}
Bytes file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class Keys : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { cs::test::require::programs({"swtpm", "tpm2_createek"}); }

  void open() { device.emplace(get(Device::open(tap.options(swtpm.tcti())))); }
  void keep(const std::string& context, const std::string& handle) {
    get(swtpm.tool({"tpm2_evictcontrol", "-c", context, handle}));
    get(swtpm.tool({"tpm2_flushcontext", "-t"}));
  }
  // So that tpm2-tools can use the TPM.
  void close() { device.reset(); }
  Device& tpm() {
    if (!device) open();
    return *device;
  }
  AttestationKey attestation_key(SaltedSession& salted, KeyType type = KeyType::p256) {
    const AttestationKey::Options options{type, auth("of the AK"), {}};
    return {get(AttestationKey::create(tpm(), salted, options)), options, salted};
  }
  AttestationKey attestation_key() { return attestation_key(session); }
  // By TPM2_VerifySignature, the other implementation at hand.
  Result<void> verify(VolatileObject& key, const Bytes& signature, ByteView signed_bytes) {
    const auto value = get(cs::tpm::unmarshal<TPMT_SIGNATURE>(Tss2_MU_TPMT_SIGNATURE_Unmarshal,
                                                              signature, "the signature"));
    const Digest hash = Hasher(HashAlgorithm::sha256).hash({signed_bytes});
    const auto digest = get(cs::tpm::sized<TPM2B_DIGEST>(hash.bytes(), "digest"));
    CS_TRY(const EsysHandle handle, key.use(tpm()));
    return tpm().call("TPM2_VerifySignature", [&](ESYS_CONTEXT* esys) {
      Out<TPMT_TK_VERIFIED> ticket;
      return Esys_VerifySignature(esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                                  &value, ticket.out());
    });
  }
  Result<void> verify(VolatileObject& key, const EcdsaSignature& signature, ByteView signed_bytes) {
    cs::ByteBuilder out(256);
    out.u16be(TPM2_ALG_ECDSA).u16be(TPM2_ALG_SHA256);
    out.vec16be(ByteView(signature).first(32)).vec16be(ByteView(signature).last(32));
    return verify(key, get(out.finish("the signature")), signed_bytes);
  }
  static TPMS_ATTEST parsed(const Bytes& attest) {
    return get(cs::tpm::unmarshal<TPMS_ATTEST>(Tss2_MU_TPMS_ATTEST_Unmarshal, attest, "attest"));
  }
  SigningKey::Policy now() {
    return {boot, get(get(read_pcrs(tpm(), boot)).composite(boot, HashAlgorithm::sha256))};
  }

  Swtpm swtpm = get(Swtpm::start());
  std::vector<std::uint32_t> seen;
  TctiTap tap{[this](unsigned /*number*/, ByteView command) {
    seen.push_back(cs::test::command_code(command));
    return Fate{};
  }};
  std::optional<Device> device;
  SaltedSession session{cs::tpm::storage_root_key()};
  const PcrSelection boot = get(PcrSelection::parse("sha256:0,1,2,3,4,5,6,7,11"));
};

TEST_F(Keys, EndorsementKeysAreThoseTheToolsMake) {
  for (const auto& [type, name] : {std::pair{KeyType::rsa_2048, "rsa"}, {KeyType::p256, "ecc"}}) {
    close();
    const std::string context = swtpm.file("ek.ctx");
    get(swtpm.tool({"tpm2_createek", "-c", context, "-G", name}));
    get(swtpm.tool({"tpm2_readpublic", "-c", context, "-n", swtpm.file("name")}));
    get(swtpm.tool({"tpm2_flushcontext", "-t"}));
    for (const bool persistent : {false, true}) {
      close();
      if (persistent) keep(context, type == KeyType::p256 ? "0x81010002" : "0x81010001");
      auto key = endorsement_key(type);
      seen.clear();
      get(key.use(tpm()));
      EXPECT_EQ(key.name(), file(swtpm.file("name"))) << name;
      EXPECT_EQ(std::ranges::count(seen, TPM2_CC_CreatePrimary), persistent ? 0 : 1);
    }
  }
}

TEST_F(Keys, CertificatesAreReadAsTheyLie) {
  EXPECT_TRUE(get(read_endorsement_blobs(tpm())).certificates.empty());
  close();
  const std::string content(1900, 'c');
  for (const std::string index : {"0x01c00002", "0x01c0000b", "0x01c00016", "0x01c00101"}) {
    get(swtpm.tool(
        {"tpm2_nvdefine", index, "-s", "1900", "-a", "ownerread|ownerwrite|authread|no_da"}));
    get(swtpm.tool({"tpm2_nvwrite", index, "-C", "o", "-i", "-"}, content));
  }
  const auto blobs = get(read_endorsement_blobs(tpm()));
  ASSERT_EQ(blobs.certificates.size(), 2U);
  EXPECT_EQ(blobs.certificates.back().index, 0x01c00016U);
  EXPECT_TRUE(std::ranges::equal(blobs.certificates.front().bytes, bytes(content)));
  ASSERT_EQ(blobs.chain.size(), 1U);
  EXPECT_EQ(blobs.chain.front().index, 0x01c00101U);
  const auto area = get(cs::tpm::NvPublic::parse(get(read_nv_public(tpm(), 0x01c00016))));
  EXPECT_EQ(area.index, 0x01c00016U);
  EXPECT_EQ(area.size, content.size());
  const auto none = read_nv(tpm(), 0x01c0000a);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind(), ErrorKind::not_found);
}

TEST_F(Keys, AQuoteIsOfTheValuesThatComeWithIt) {
  for (const auto type : {KeyType::p256, KeyType::rsa_2048}) {
    auto key = attestation_key(session, type);
    const auto quoted = get(key.quote(tpm(), boot, bytes("a nonce")));
    get(verify(key.object(), quoted.evidence.signature, quoted.evidence.attest));
    const TPMS_ATTEST attest = parsed(quoted.evidence.attest);
    EXPECT_EQ(attest.magic, TPM2_GENERATED_VALUE);
    EXPECT_TRUE(std::ranges::equal(cs::tpm::view(attest.extraData), bytes("a nonce")));
    EXPECT_TRUE(
        std::ranges::equal(cs::tpm::view(attest.attested.quote.pcrDigest),
                           get(quoted.values.composite(boot, HashAlgorithm::sha256)).bytes()));
    // In the endorsement hierarchy: the counters are the true ones.
    EXPECT_EQ(attest.clockInfo.resetCount, get(read_clock(tpm())).reset_count);
  }
}

TEST_F(Keys, AQuoteIsRepeatedWhenARegisterMovesInBetween) {
  auto key = attestation_key();
  // The TPM does not quote before somebody has extended a register that was read already.
  std::atomic<bool> moved = false;
  unsigned quotes = 0;
  std::optional<std::thread> other;
  tap.decide([&](unsigned /*number*/, ByteView command) {
    if (cs::test::command_code(command) != TPM2_CC_Quote) return Fate{};
    if (!other) {
      other.emplace([&] {
        get(tap.send(cs::test::extend_command(11)));
        moved = true;
      });
    }
    if (moved) ++quotes;
    return moved ? Fate{} : Fate{Fate::Kind::answer, TPM2_RC_RETRY};
  });
  const auto quoted = get(key.quote(tpm(), boot, bytes("a nonce")));
  other->join();
  EXPECT_NE(quoted.values.find(HashAlgorithm::sha256, 11)->hex(), std::string(64, '0'));
  EXPECT_EQ(quotes, 2U);
  tap.decide({});
}

TEST_F(Keys, AnEmptyNonceIsRefused) {
  auto key = attestation_key();
  const auto refused = key.quote(tpm(), boot, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message(),
            "empty qualifying data: any earlier quote could be replayed");
  EXPECT_FALSE(key.quote(tpm(), boot, Bytes(65)).ok());
}

TEST_F(Keys, DocumentsOfAnyLengthAreSigned) {
  auto key = attestation_key();
  for (const std::size_t size : {0U, 1U, 1024U, 1025U, 5000U}) {
    const Bytes document(size, 'd');
    const auto signature = get(key.sign(tpm(), document));
    get(verify(key.object(), signature, document));
    EXPECT_FALSE(verify(key.object(), signature, bytes("another")).ok());
  }
  for (const std::size_t size : {4U, 2000U}) {
    Bytes forged(size, 0);
    std::ranges::copy(bytes("\xffTCG"), forged.begin());
    const auto refused = key.sign(tpm(), forged);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind(), ErrorKind::invalid);
  }
  EXPECT_EQ(get(read_loaded(tpm())).objects, 1U);
}

TEST_F(Keys, TheAttestationKeyComesBackAfterAResetAndWantsItsAuthValue) {
  auto key = attestation_key();
  get(key.sign(tpm(), bytes("before")));
  const auto name = key.object().name();
  get(swtpm.reset());
  EXPECT_FALSE(key.sign(tpm(), bytes("between")).ok());
  get(tpm().recover());
  get(key.sign(tpm(), bytes("after")));
  EXPECT_EQ(key.object().name(), name);

  const AttestationKey::Options options{KeyType::p256, auth("right"), {}};
  AttestationKey wrong(get(AttestationKey::create(tpm(), session, options)),
                       {KeyType::p256, auth("wrong"), {}}, session);
  key.object().unload();
  const auto refused = wrong.sign(tpm(), bytes("document"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
  EXPECT_EQ(get(read_lockout(tpm())).failures, 0U);
}

TEST_F(Keys, ACredentialIsActivatedByTheRightKeyOnly) {
  auto key = attestation_key();
  get(key.object().use(tpm()));
  const auto secret = get(cs::tpm::sized<TPM2B_DIGEST>(bytes("the credential"), "secret"));
  for (const auto type : {KeyType::rsa_2048, KeyType::p256, KeyType::p384}) {
    auto ek = endorsement_key(type);
    const EsysHandle handle = get(ek.use(tpm()));
    for (const bool right : {true, false}) {
      TPM2B_NAME name{};
      name.size = static_cast<UINT16>(key.object().name().size());
      std::ranges::copy(key.object().name(), &name.name[0]);
      if (!right) name.name[5] ^= 1U;
      Out<TPM2B_ID_OBJECT> blob;
      Out<TPM2B_ENCRYPTED_SECRET> encrypted;
      get(tpm().call("TPM2_MakeCredential", [&](ESYS_CONTEXT* esys) {
        return Esys_MakeCredential(esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &secret,
                                   &name, blob.out(), encrypted.out());
      }));
      const auto found = key.activate(
          tpm(), ek,
          get(cs::tpm::marshal<TPM2B_ID_OBJECT>(Tss2_MU_TPM2B_ID_OBJECT_Marshal, *blob, "blob")),
          get(cs::tpm::marshal<TPM2B_ENCRYPTED_SECRET>(Tss2_MU_TPM2B_ENCRYPTED_SECRET_Marshal,
                                                       *encrypted, "secret")));
      EXPECT_EQ(found.ok(), right);
      if (right) {
        EXPECT_TRUE(std::ranges::equal(found->bytes(), bytes("the credential")));
      } else {
        EXPECT_EQ(found.error().kind(), ErrorKind::unverified) << found.error().message();
      }
    }
    EXPECT_FALSE(key.activate(tpm(), ek, bytes("x"), bytes("y")).ok());
  }
}

TEST_F(Keys, ASigningKeySignsUnderItsRegistersOnly) {
  const auto policy = now();
  SigningKey key(get(SigningKey::create(tpm(), session, policy)), policy);
  const Digest digest = Hasher(HashAlgorithm::sha256).hash({bytes("a root")});
  for (int i = 0; i < 3; ++i) {
    get(verify(key.object(), get(key.sign(tpm(), digest)), bytes("a root")));
  }
  get(extend_pcr(tpm(), 10, {digest}));
  get(verify(key.object(), get(key.sign(tpm(), digest)), bytes("a root")));
  get(extend_pcr(tpm(), 11, {digest}));
  const auto refused = key.sign(tpm(), digest);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
  EXPECT_EQ(refused.error().message().find("TPM2_PolicyPCR: the PCRs sha256:0,1,2,3,4,5,6,7,11 do"),
            0U);
  // Booted again, it is the machine it was.
  get(swtpm.reset());
  EXPECT_FALSE(key.sign(tpm(), digest).ok());
  get(tpm().recover());
  get(verify(key.object(), get(key.sign(tpm(), digest)), bytes("a root")));
}

// Why a verifier refuses a key with userWithAuth: whatever its policy, the empty password signs.
TEST_F(Keys, WithUserWithAuthAnEmptyPasswordSigns) {
  const auto policy = now();
  SigningKey proper(get(SigningKey::create(tpm(), session, policy)), policy);
  TPM2B_PUBLIC shape = cs::tpm::signing_template(
      KeyType::p256, TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                         TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_SIGN_ENCRYPT |
                         TPMA_OBJECT_NODA | TPMA_OBJECT_USERWITHAUTH);
  shape.publicArea.authPolicy.size = 32;  // a policy nothing fulfils
  VolatileObject open_to_all =
      child_key("a key with userWithAuth",
                get(create_child(tpm(), session, cs::tpm::storage_root_key(), shape, {}, "a key")),
                cs::tpm::storage_root_key());
  const TPM2B_DIGEST digest{32, {}};
  const TPMT_SIG_SCHEME scheme{TPM2_ALG_NULL, {}};
  const TPMT_TK_HASHCHECK no_ticket{TPM2_ST_HASHCHECK, TPM2_RH_NULL, {}};
  const auto sign = [&](VolatileObject& key) {
    const EsysHandle handle = get(key.use(tpm()));
    return tpm().call("TPM2_Sign", [&](ESYS_CONTEXT* esys) {
      Out<TPMT_SIGNATURE> signature;
      return Esys_Sign(esys, handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &scheme,
                       &no_ticket, signature.out());
    });
  };
  EXPECT_TRUE(sign(open_to_all).ok());
  EXPECT_FALSE(sign(proper.object()).ok());
}

TEST_F(Keys, ASigningKeyIsCertified) {
  auto vouching = attestation_key();
  const auto policy = now();
  SigningKey key(get(SigningKey::create(tpm(), session, policy)), policy);
  const auto certified = get(vouching.certify(tpm(), key.object(), bytes("a nonce")));
  get(verify(vouching.object(), certified.signature, certified.attest));
  const TPMS_ATTEST attest = parsed(certified.attest);
  EXPECT_EQ(attest.type, TPM2_ST_ATTEST_CERTIFY);
  EXPECT_TRUE(std::ranges::equal(cs::tpm::view(attest.attested.certify.name), key.object().name()));
}

class Register : public Keys {
 protected:
  void set_owner_auth() {
    close();
    get(swtpm.tool({"tpm2_changeauth", "-c", "owner", "of the owner"}));
  }
  static constexpr std::uint32_t number = ExtendIndex::first + 1;
  const Auth writer = auth("of the writer");
};

TEST_F(Register, IsRefusedWhereAnybodyCouldMakeItAnew) {
  const auto refused = ExtendIndex::define(tpm(), session, number, writer, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
  EXPECT_NE(refused.error().message().find("the owner hierarchy has no auth value"),
            std::string::npos);
  EXPECT_FALSE(ExtendIndex::define(tpm(), session, 0x01d10200, writer, {}).ok());  // systemd's
}

TEST_F(Register, GrowsAndBeginsAnewWithEachReset) {
  set_owner_auth();
  const Auth owner = auth("of the owner");
  SaltedSession salted(endorsement_key(KeyType::p256));
  get(ExtendIndex::define(tpm(), salted, number, writer, owner));
  EXPECT_EQ(ExtendIndex::define(tpm(), salted, number, writer, owner).error().kind(),
            ErrorKind::exists);
  const ExtendIndex index(number, writer);
  EXPECT_EQ(get(index.read(tpm(), salted)), Digest(HashAlgorithm::sha256));

  Hasher hasher(HashAlgorithm::sha256);
  Digest expected(HashAlgorithm::sha256);
  for (const std::uint8_t fill : {std::uint8_t{1}, std::uint8_t{2}}) {
    const Digest with(HashAlgorithm::sha256, fill);
    get(index.extend(tpm(), salted, with));
    cs::tpm::extend(hasher, expected, with);
    EXPECT_EQ(get(index.read(tpm(), salted)), expected);
  }
  auto vouching = attestation_key(salted);
  const auto certified = get(vouching.certify(tpm(), index, writer, bytes("a nonce")));
  get(verify(vouching.object(), certified.signature, certified.attest));
  EXPECT_TRUE(std::ranges::equal(cs::tpm::view(parsed(certified.attest).attested.nv.nvContents),
                                 expected.bytes()));

  const ExtendIndex stranger(number, auth("of somebody else"));
  EXPECT_FALSE(stranger.extend(tpm(), salted, expected).ok());
  EXPECT_EQ(get(index.read(tpm(), salted)), expected);
  get(swtpm.reset());
  EXPECT_FALSE(index.read(tpm(), salted).ok());
  get(tpm().recover());
  EXPECT_EQ(get(index.read(tpm(), salted)), Digest(HashAlgorithm::sha256));
  get(ExtendIndex::undefine(tpm(), salted, number, owner));
  EXPECT_EQ(index.read(tpm(), salted).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(get(read_lockout(tpm())).failures, 0U);
}

TEST_F(Register, AHierarchysAuthValueCrossesNoBus) {
  set_owner_auth();
  close();
  get(swtpm.tool({"tpm2_changeauth", "-c", "endorsement", "of the maker"}));
  std::size_t commands = 0;
  tap.decide([&](unsigned /*number*/, ByteView command) {
    const std::string_view text(reinterpret_cast<const char*>(command.data()), command.size());
    EXPECT_EQ(text.find("of the owner"), std::string_view::npos);
    EXPECT_EQ(text.find("of the maker"), std::string_view::npos);
    ++commands;
    return Fate{};
  });
  const Auth owner = auth("of the owner");
  const Auth maker = auth("of the maker");
  get(cs::tpm::storage_root_key(owner).use(tpm()));
  get(cs::tpm::attestation_parent(maker).use(tpm()));
  SaltedSession salted(endorsement_key(KeyType::p256, maker));
  const AttestationKey::Options options{KeyType::p256, auth("of the AK"), maker};
  get(AttestationKey::create(tpm(), salted, options));
  get(cs::tpm::define_counter(tpm(), cs::tpm::first_counter_index, owner));
  get(cs::tpm::count_on(tpm(), cs::tpm::first_counter_index, owner));
  get(ExtendIndex::define(tpm(), salted, number, writer, owner));
  tap.decide({});
  EXPECT_GT(commands, 20U);
}

}  // namespace
