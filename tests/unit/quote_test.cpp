// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/quote.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/require.h"
#include "tests/unit/attester.h"
#include "tpm/evidence/name.h"

namespace {

using cs::ByteView;
using cs::test::Attester;
using cs::test::Forger;
using cs::test::get;
using cs::test::unhex;
using cs::tpm::Attest;
using cs::tpm::Bytes;
using cs::tpm::HashAlgorithm;
using cs::tpm::Name;
using cs::tpm::PcrSelection;
using cs::tpm::PcrValues;
using cs::tpm::PublicKey;
using cs::tpm::QuoteExpectations;
using cs::tpm::Signature;
using cs::tpm::Verdict;
using cs::tpm::verify_quote;

using Codes = std::vector<std::string_view>;

constexpr auto nonce = "00112233445566778899aabbccddeeff";
constexpr auto selection = "sha256:0,7,23+sha1:1";

std::string zeros(std::size_t bytes) {
  std::string digits;
  digits.append(2 * bytes, '0');
  return digits;
}

// swtpm's registers before anybody extends them.
std::string values_text() {
  return "sha256:0=" + zeros(32) + "\nsha256:7=" + zeros(32) + "\nsha256:23=" + zeros(32) +
         "\nsha1:1=" + zeros(20) + "\n";
}

class Quote : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!attester) attester = std::make_unique<Attester>();
  }

  // All there is to know of a quote by `ak`, so that every check has something to compare with.
  static QuoteExpectations everything(const cs::tpm::PublicArea& ak, const Attest& attest) {
    QuoteExpectations expected;
    expected.attest.qualifying_data = unhex(nonce);
    const Name parent = qualified_name(
        get(cs::tpm::PublicArea::parse(cs::tpm::without_size(attester->read("ek.pub")))),
        Name::of_handle(cs::tpm::endorsement_hierarchy));
    expected.attest.signer = qualified_name(ak, parent);
    expected.selection = get(PcrSelection::parse(selection));
    expected.values = &values;
    expected.last_seen = attest.clock;
    expected.firmware = attest.firmware;
    return expected;
  }

  inline static std::unique_ptr<Attester> attester;
  inline static const PcrValues values = get(PcrValues::parse(values_text()));
};

Codes failures(const cs::Result<cs::tpm::QuoteReport>& report) {
  return report.ok() ? report->findings.codes(Verdict::fails) : Codes{"unreadable"};
}

TEST_F(Quote, ByARealTpmHoldsWithEveryScheme) {
  for (const auto* ak : {Attester::ak_ecdsa, Attester::ak_rsassa, Attester::ak_rsapss}) {
    attester->quote(ak, selection, nonce);
    const Bytes attest = attester->read("attest");
    const PublicKey key = attester->key(ak);
    const auto signature = get(read_signature(attester->read("signature"), key));
    const auto expected = everything(*key.area(), get(Attest::parse(attest)));
    const auto report = get(verify_quote({attest, signature.signature, key}, expected));
    EXPECT_TRUE(report.findings.all_hold()) << ak;
    EXPECT_EQ(report.findings.checks().size(), 13U);
    const auto unasked = get(verify_quote({attest, signature.signature, key}, {}));
    EXPECT_TRUE(unasked.findings.none_fails());
    EXPECT_EQ(unasked.findings.codes(Verdict::holds),
              (Codes{"magic", "type", "key", "scheme", "signature"}));
  }
}

TEST_F(Quote, IsReadWithItsSizeAndSignaturesAsOpensslHasThem) {
  for (const auto* ak : {Attester::ak_ecdsa, Attester::ak_rsassa, Attester::ak_rsapss}) {
    attester->quote(ak, selection, nonce, "plain");
    const Bytes attest = attester->read("attest");
    Bytes sized{0, static_cast<std::uint8_t>(attest.size())};
    sized.insert(sized.end(), attest.begin(), attest.end());
    EXPECT_TRUE(std::ranges::equal(cs::tpm::without_size(sized), attest));
    EXPECT_TRUE(std::ranges::equal(cs::tpm::without_size(attest), attest));
    const PublicKey key = attester->key(ak);
    const auto file = get(read_signature(attester->read("signature"), key));
    EXPECT_EQ(to_string(file.form), key.is_rsa() ? "plain RSA" : "ECDSA in DER");
    EXPECT_TRUE(get(verify_quote({attest, file.signature, key}, {})).findings.none_fails()) << ak;
  }
}

TEST_F(Quote, IsRefusedWithAnyBitFlipped) {
  for (const auto* ak : {Attester::ak_ecdsa, Attester::ak_rsassa}) {
    attester->quote(ak, selection, nonce);
    Bytes attest = attester->read("attest");
    Bytes signature = attester->read("signature");
    const PublicKey key = attester->key(ak);
    const auto refused = [&] {
      const auto file = read_signature(signature, key);
      if (!file.ok()) return true;
      const auto report = verify_quote({attest, file->signature, key}, {});
      return !report.ok() || !report->findings.none_fails();
    };
    ASSERT_FALSE(refused());
    for (Bytes* bytes : {&attest, &signature}) {
      for (std::size_t bit = 0; bit < bytes->size() * 8; ++bit) {
        bytes->at(bit / 8) ^= static_cast<std::uint8_t>(1U << bit % 8);
        EXPECT_TRUE(refused()) << ak << " bit " << bit;
        bytes->at(bit / 8) ^= static_cast<std::uint8_t>(1U << bit % 8);
      }
    }
    ASSERT_FALSE(refused());
  }
}

TEST_F(Quote, IsRefusedAtEveryOtherLength) {
  attester->quote(Attester::ak_ecdsa, selection, nonce);
  const Bytes attest = attester->read("attest");
  const Bytes signature = attester->read("signature");
  for (std::size_t size = 0; size < attest.size(); ++size) {
    const auto refused = Attest::parse(ByteView(attest).first(size));
    ASSERT_FALSE(refused.ok()) << size;
    EXPECT_EQ(refused.error().kind(), cs::ErrorKind::truncated) << size;
    EXPECT_NE(refused.error().message().find("at offset"), std::string::npos);
  }
  for (std::size_t size = 0; size < signature.size(); ++size) {
    EXPECT_FALSE(Signature::parse(ByteView(signature).first(size)).ok()) << size;
  }
  Bytes longer = attest;
  longer.push_back(0);
  EXPECT_EQ(Attest::parse(longer).error().message(), "reading an attestation: at offset " +
                                                         std::to_string(attest.size()) +
                                                         " it should end, but 1 bytes follow");
  longer = signature;
  longer.push_back(0);
  EXPECT_FALSE(Signature::parse(longer).ok());
}

// A forger signs what he likes, so each forgery is found by the one check that is for it.
class Forged : public Quote {
 protected:
  void SetUp() override {
    attester->quote(Attester::ak_ecdsa, selection, nonce);
    attest = attester->read("attest");
    expected = everything(attester->area(Attester::ak_ecdsa), get(Attest::parse(attest)));
  }
  Codes found() {
    const PublicKey key = get(PublicKey::from_pem(forger.pem()));
    const auto file = get(read_signature(forger.sign(attest), key));
    return failures(verify_quote({attest, file.signature, key}, expected));
  }
  std::uint8_t& at(std::size_t offset) { return attest.at(offset); }

  static constexpr std::size_t clock_at = 60;  // behind a signer of 34 bytes and a nonce of 16

  Forger forger;
  Bytes attest;
  QuoteExpectations expected;
};

TEST_F(Forged, NothingIsFoundByNoCheck) {
  EXPECT_EQ(found(), Codes{});
}

TEST_F(Forged, MagicIsRefused) {
  at(0) = 0;
  EXPECT_EQ(found(), Codes{"magic"});
}

TEST_F(Forged, TypeIsRefused) {
  attester->tool({"tpm2_certify", "-Q", "-c", Attester::ak_rsassa, "-C", Attester::ak_ecdsa, "-g",
                  "sha256", "-o", attester->file("attest"), "-s", attester->file("signature")});
  attest = attester->read("attest");
  expected = {};
  EXPECT_EQ(found(), Codes{"type"});
  at(5) = 0x19;  // an attested time, which is nothing we read
  EXPECT_EQ(found(), Codes{"type"});
}

TEST_F(Forged, NonceIsRefused) {
  at(clock_at - 1) ^= 1;
  EXPECT_EQ(found(), Codes{"qualifying_data"});
  expected.attest.qualifying_data = Bytes{};
  EXPECT_EQ(found(), Codes{"qualifying_data"});
}

TEST_F(Forged, SignerIsRefused) {
  at(20) ^= 1;
  EXPECT_EQ(found(), Codes{"signer"});
}

TEST_F(Forged, ClockIsRefusedWhenItGoesBack) {
  at(clock_at + 7) -= 1;
  EXPECT_EQ(found(), Codes{"clock"});
  at(clock_at + 7) += 2;
  EXPECT_EQ(found(), Codes{});
}

TEST_F(Forged, CountsAreRefusedWhenTheyDiffer) {
  at(clock_at + 11) += 1;
  EXPECT_EQ(found(), Codes{"reset_count"});
  at(clock_at + 11) -= 1;
  at(clock_at + 15) += 1;
  EXPECT_EQ(found(), Codes{"restart_count"});
}

TEST_F(Forged, FirmwareIsRefused) {
  at(clock_at + 24) ^= 1;
  EXPECT_EQ(found(), Codes{"firmware"});
}

TEST_F(Forged, SelectionIsRefusedAndWithItTheDigest) {
  constexpr std::size_t first_bank = clock_at + 25 + 4;
  at(first_bank + 3) ^= 2;  // PCR 1, whose value was not given
  EXPECT_EQ(found(), (Codes{"selection", "pcr_digest"}));
}

TEST_F(Forged, SelectionInAnotherOrderIsRefused) {
  expected.selection = get(PcrSelection::parse("sha1:1+sha256:0,7,23"));
  EXPECT_EQ(found(), Codes{"selection"});
  expected.selection = get(PcrSelection::parse("sha256:0,7,23"));
  EXPECT_EQ(found(), Codes{"selection"});
}

TEST_F(Forged, QuoteOfNoPcrIsRefused) {
  attest.resize(clock_at + 25);
  const Bytes nothing(4 + 2);  // no bank, no digest
  attest.insert(attest.end(), nothing.begin(), nothing.end());
  expected.selection.reset();
  EXPECT_EQ(found(), (Codes{"selection", "pcr_digest"}));
}

TEST_F(Forged, DigestIsRefused) {
  attest.back() ^= 1;
  EXPECT_EQ(found(), Codes{"pcr_digest"});
}

TEST_F(Forged, OtherValuesAreRefused) {
  PcrValues others = values;
  get(others.set(7, cs::tpm::Digest(HashAlgorithm::sha256, 0xff)));
  expected.values = &others;
  EXPECT_EQ(found(), Codes{"pcr_digest"});
}

TEST_F(Forged, SignatureOverOtherBytesIsRefused) {
  const PublicKey key = get(PublicKey::from_pem(forger.pem()));
  const auto file = get(read_signature(forger.sign(unhex("00")), key));
  EXPECT_EQ(failures(verify_quote({attest, file.signature, key}, expected)), Codes{"signature"});
}

TEST_F(Forged, ForeignKeyIsRefused) {
  const PublicKey key = get(PublicKey::from_pem(Forger().pem()));
  const auto file = get(read_signature(forger.sign(attest), key));
  EXPECT_EQ(failures(verify_quote({attest, file.signature, key}, expected)), Codes{"signature"});
  const PublicKey rsa = attester->key(Attester::ak_rsassa);
  EXPECT_EQ(failures(verify_quote({attest, file.signature, rsa}, expected)),
            (Codes{"scheme", "signature"}));
}

TEST_F(Forged, SignatureByAKeyThatSignsAnythingIsRefused) {
  const PublicKey key = get(PublicKey::from(forger.area(cs::tpm::attribute::sign)));
  const auto file = get(read_signature(forger.sign(attest), key));
  const auto report = verify_quote({attest, file.signature, key}, expected);
  EXPECT_EQ(failures(report), Codes{"key"});
  EXPECT_NE(report->findings.checks()[2].sentence.find("restricted set"), std::string::npos);
}

TEST_F(Forged, SignatureByAnotherHashIsRefused) {
  const PublicKey key =
      get(PublicKey::from(forger.area(attester->area(Attester::ak_ecdsa).attributes)));
  auto signature = get(read_signature(forger.sign(attest, EVP_sha1()), key)).signature;
  signature.hash = HashAlgorithm::sha1;
  expected.values = nullptr;
  EXPECT_EQ(failures(verify_quote({attest, signature, key}, expected)), Codes{"scheme"});
  signature = get(read_signature(forger.sign(attest, EVP_sha384()), key)).signature;
  signature.hash = HashAlgorithm::sha384;
  EXPECT_EQ(failures(verify_quote({attest, signature, key}, expected)), Codes{"scheme"});
}

TEST_F(Forged, NumbersOutOfRangeAreRefused) {
  const PublicKey key = get(PublicKey::from_pem(forger.pem()));
  const auto good = get(read_signature(forger.sign(attest), key)).signature;
  const Bytes order = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  for (const Bytes& wrong : {Bytes{}, Bytes(32), order, Bytes(32, 0xff)}) {
    for (Bytes Signature::*number : {&Signature::value, &Signature::s}) {
      Signature forged = good;
      forged.*number = wrong;
      EXPECT_FALSE(key.verifies(forged, attest));
    }
  }
  // The other s of the same signature: n - s. Both are good.
  Signature other = good;
  other.s.insert(other.s.begin(), 32 - other.s.size(), 0);
  int borrow = 0;
  for (std::size_t i = 32; i-- > 0;) {
    const int difference = int{order[i]} - int{other.s[i]} - borrow;
    borrow = difference < 0 ? 1 : 0;
    other.s[i] = static_cast<std::uint8_t>(difference + 256 * borrow);
  }
  EXPECT_TRUE(key.verifies(good, attest));
  EXPECT_TRUE(key.verifies(other, attest));
}

TEST_F(Forged, AfterALossOfPowerTheClockMayHaveGoneBack) {
  at(clock_at + 16) = 0;  // no longer safe
  expected.last_seen->clock += 1;
  EXPECT_EQ(found(), Codes{"clock"});
  expected.last_seen->reset_count -= 1;
  EXPECT_EQ(found(), Codes{"reset_count"});
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  cs::test::require::programs({"swtpm", "tpm2_quote"});
  return RUN_ALL_TESTS();
}
