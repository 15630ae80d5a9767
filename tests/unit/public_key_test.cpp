// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/public_key.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/attester.h"
#include "tpm/check.h"
#include "tpm/evidence/name.h"

namespace {

using cs::ByteView;
using cs::ErrorKind;
using cs::test::Forger;
using cs::test::get;
using cs::test::pem_of;
using cs::test::unhex;
using cs::tpm::Algorithm;
using cs::tpm::Bytes;
using cs::tpm::Curve;
using cs::tpm::PublicArea;
using cs::tpm::PublicKey;

using Key = cs::Openssl<EVP_PKEY, EVP_PKEY_free>;

TEST(PublicKey, IsReadFromEachForm) {
  const Forger forger;
  const PublicArea area = forger.area(cs::tpm::attribute::sign);
  const Bytes bare = area.encode();
  Bytes sized{0, static_cast<std::uint8_t>(bare.size())};
  sized.insert(sized.end(), bare.begin(), bare.end());
  const std::string pem = forger.pem();
  const Bytes message = unhex("c0ffee");
  for (const Bytes& file : {bare, sized, Bytes(pem.begin(), pem.end())}) {
    const PublicKey key = get(PublicKey::read(file));
    EXPECT_EQ(key.text(), "P-256");
    EXPECT_EQ(key.area() != nullptr, file.front() == 0);
    EXPECT_TRUE(key.verifies(get(read_signature(forger.sign(message), key)).signature, message));
  }
}

TEST(PublicKey, OfAKindThatNoTpmAttestsWithIsRefused) {
  const Key short_rsa(EVP_RSA_gen(1024));
  const Key small_curve(EVP_EC_gen("P-224"));
  const Key edwards(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  for (const Key* key : {&short_rsa, &small_curve, &edwards}) {
    const auto refused = PublicKey::from_pem(pem_of(key->get()));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind(), ErrorKind::unsupported) << refused.error().message();
  }
}

TEST(PublicKey, InAnyOtherTextIsRefused) {
  const std::string pem = Forger().pem();
  EXPECT_TRUE(PublicKey::from_pem(pem + "\r\n\n").ok());
  for (const std::string& text :
       {std::string(), pem + "x", "x" + pem, pem + pem, pem.substr(0, 60),
        std::string("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
        std::string("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}) {
    EXPECT_FALSE(PublicKey::from_pem(text).ok()) << text;
  }
}

TEST(PublicKey, ThatDoesNotAddUpIsRefused) {
  const PublicArea good = Forger().area(cs::tpm::attribute::sign);
  ASSERT_TRUE(PublicKey::from(good).ok());
  PublicArea other = good;
  other.unique.back() ^= 1;
  EXPECT_FALSE(PublicKey::from(other).ok()) << "no point of the curve";
  other = good;
  other.unique.insert(other.unique.begin(), 0);
  EXPECT_FALSE(PublicKey::from(other).ok()) << "longer than the curve";
  other = good;
  other.curve = static_cast<Curve>(0x20);  // SM2
  EXPECT_EQ(PublicKey::from(other).error().kind(), ErrorKind::unsupported);
  other.type = Algorithm::keyedhash;
  EXPECT_EQ(PublicKey::from(other).error().kind(), ErrorKind::unsupported);

  PublicArea rsa;
  rsa.type = Algorithm::rsa;
  rsa.rsa_bits = 2048;
  rsa.unique = Bytes(256, 0xff);
  EXPECT_TRUE(PublicKey::from(rsa).ok());
  rsa.rsa_exponent = 3;
  EXPECT_EQ(PublicKey::from(rsa).error().kind(), ErrorKind::unsupported);
  rsa.rsa_exponent = 0;
  rsa.rsa_bits = 3072;
  EXPECT_EQ(PublicKey::from(rsa).error().kind(), ErrorKind::invalid);
  rsa.rsa_bits = 2048;
  rsa.unique.front() = 0;
  EXPECT_EQ(PublicKey::from(rsa).error().kind(), ErrorKind::invalid);
}

TEST(PublicArea, IsReadWholeOrNotAtAll) {
  const Bytes bytes = Forger().area(cs::tpm::attribute::sign).encode();
  EXPECT_EQ(get(PublicArea::parse(bytes)).encode(), bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto refused = PublicArea::parse(ByteView(bytes).first(size));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind(), ErrorKind::truncated) << size;
  }
  Bytes other = bytes;
  other.push_back(0);
  EXPECT_EQ(PublicArea::parse(other).error().kind(), ErrorKind::invalid);
  other = bytes;
  other.at(3) = 0x27;
  EXPECT_EQ(PublicArea::parse(other).error().message(),
            "reading a public area: at offset 2 a hash algorithm that is not known here, 0x0027");
  other = bytes;
  other.at(1) = 0x24;
  EXPECT_EQ(PublicArea::parse(other).error().message(),
            "reading a public area: before offset 10 a type of key that is not known here, 0x0024");
  other = bytes;
  other.at(8) = 0xff;
  EXPECT_EQ(PublicArea::parse(other).error().kind(), ErrorKind::limit);
}

TEST(Findings, OfNoCheckAreNotGood) {
  EXPECT_FALSE(cs::tpm::Findings().all_hold());
}

}  // namespace
