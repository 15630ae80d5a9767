// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/certificate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"
#include "tests/unit/certificate_maker.h"
#include "tpm/certificates/der.h"
#include "tpm/certificates/manufacturer.h"

namespace {

using cs::ByteView;
using cs::test::Bytes;
using cs::test::get;
using cs::test::ManualClock;
using cs::test::Parts;
using cs::test::Vendor;
using cs::test::Wanted;
using cs::tpm::Certificate;
using cs::tpm::CertificateKind;
using Strings = std::vector<std::string>;

Certificate made(const Wanted& wanted) {
  return get(Certificate::parse(make_certificate(wanted)));
}

// The codes of what was refused.
Strings refused(const Certificate& certificate, const EVP_PKEY* expected = nullptr) {
  Strings codes;
  const auto findings = check(certificate, ManualClock(), expected);
  for (const auto& one : findings.checks()) {
    EXPECT_FALSE(one.sentence.empty());
    if (one.verdict != cs::tpm::Verdict::holds) codes.emplace_back(one.code);
  }
  return codes;
}

// With the object identifier of its key's algorithm made rsaesOaep, as some vendors write it.
Bytes with_oaep(const Bytes& der) {
  return cs::test::change_signed(der, Vendor::get().intermediate_key.get(), [](Parts& parts) {
    const Bytes oid{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    Bytes& key = parts.at(6);
    const auto at = std::search(key.begin(), key.end(), oid.begin(), oid.end());
    ASSERT_NE(at, key.end());
    *(at + static_cast<std::ptrdiff_t>(oid.size()) - 1) = 0x07;
  });
}

Bytes with_long_serial(const Bytes& der, const Bytes& serial) {
  return cs::test::change_signed(der, Vendor::get().intermediate_key.get(), [&](Parts& parts) {
    parts.at(1) = cs::tpm::make_der(0x02, {serial});
  });
}

TEST(Certificate, AnEndorsementCertificateSaysWhatItIs) {
  const Certificate ek = made(Vendor::get().rsa_ek());
  const auto& fields = ek.fields();
  EXPECT_EQ(fields.kind, CertificateKind::endorsement);
  EXPECT_EQ(fields.subject, "");
  EXPECT_EQ(fields.issuer, "CN=Intermediate 01");
  EXPECT_EQ(fields.serial, "1234");
  EXPECT_EQ(fields.not_before, "2022-11-14T22:13:20Z");
  EXPECT_EQ(fields.key, "RSA-2048");
  EXPECT_EQ(fields.manufacturer, "id:494E5443");
  EXPECT_EQ(fields.model, "Test TPM");
  EXPECT_EQ(fields.version, "id:00010002");
  EXPECT_EQ(fields.key_usage, Strings{"keyEncipherment"});
  EXPECT_EQ(fields.extended_key_usage, Strings{"2.23.133.8.1"});
  EXPECT_EQ(fields.issuer_url, "http://vendor.example/int01.crt");
  EXPECT_EQ(fields.forgiven, Strings{});
  EXPECT_EQ(ek.name(), "TPM Test TPM");
  EXPECT_EQ(made(Vendor::get().ec_ek()).fields().key, "P-256");
}

TEST(Certificate, GoodOnesPassEveryCheck) {
  const Vendor& vendor = Vendor::get();
  EXPECT_EQ(refused(made(vendor.rsa_ek()), vendor.rsa_key.get()), Strings{});
  EXPECT_EQ(refused(made(vendor.ec_ek()), vendor.ec_key.get()), Strings{});
  EXPECT_EQ(refused(made(vendor.intermediate())), Strings{});
  EXPECT_EQ(made(vendor.root()).fields().kind, CertificateKind::authority);
}

TEST(Certificate, EachCheckHasItsCode) {
  const Vendor& vendor = Vendor::get();
  Wanted ek = vendor.ec_ek();
  EXPECT_EQ(refused(made(ek), vendor.rsa_key.get()), Strings{"key_matches"});
  ek.extensions.at(0).value = "critical,CA:TRUE";
  EXPECT_EQ(refused(made(ek)), Strings{"not_authority"});
  ek = vendor.ec_ek();
  ek.extensions.at(1).value = "critical,keyEncipherment";  // that of an RSA key
  EXPECT_EQ(refused(made(ek)), Strings{"key_usage"});
  ek = vendor.ec_ek();
  ek.extensions.at(2).value = "serverAuth";
  EXPECT_EQ(refused(made(ek)), Strings{"extended_key_usage"});
  ek = vendor.ec_ek();
  ek.tpm_attributes = false;
  EXPECT_EQ(refused(made(ek)), Strings{"tpm_attributes"});
  ek = vendor.ec_ek();
  ek.not_after = cs::test::now - 1;
  EXPECT_EQ(refused(made(ek)), Strings{"validity"});
  ek = vendor.ec_ek();
  ek.not_before = cs::test::now + 1;
  EXPECT_EQ(refused(made(ek)), Strings{"validity"});
  const auto key = cs::test::make_ec_key("secp521r1");
  ek = vendor.ec_ek();
  ek.key = key.get();
  EXPECT_EQ(refused(made(ek)), Strings{"key_type"});
}

TEST(Certificate, AnAttestationKeySigns) {
  Wanted ak = Vendor::get().ec_ek();
  ak.extensions.at(2).value = "2.23.133.8.3";
  EXPECT_EQ(refused(made(ak)), Strings{"key_usage"});
  ak.extensions.at(1).value = "critical,digitalSignature";
  EXPECT_EQ(made(ak).fields().kind, CertificateKind::attestation);
  EXPECT_EQ(refused(made(ak)), Strings{});
}

TEST(Certificate, RsaesOaepIsReadAndStillSigned) {
  const Vendor& vendor = Vendor::get();
  const Certificate ek = get(Certificate::parse(with_oaep(make_certificate(vendor.rsa_ek()))));
  EXPECT_EQ(ek.fields().forgiven,
            Strings{"the algorithm of the RSA key is rsaesOaep, read as rsaEncryption"});
  EXPECT_EQ(refused(ek, vendor.rsa_key.get()), Strings{});
  EXPECT_TRUE(ek.is_signed_by(vendor.intermediate_key.get()));
  EXPECT_FALSE(ek.is_signed_by(vendor.root_key.get()));
}

TEST(Certificate, ASerialNumberMayBeTooLong) {
  const Vendor& vendor = Vendor::get();
  const Bytes good = make_certificate(vendor.ec_ek());
  const Certificate ek = get(Certificate::parse(with_long_serial(good, {0, 0, 0x12, 0x34})));
  EXPECT_EQ(ek.fields().serial, "1234");
  EXPECT_EQ(ek.fields().forgiven, Strings{"the serial number is not minimally encoded"});
  EXPECT_TRUE(ek.is_signed_by(vendor.intermediate_key.get()));
  EXPECT_EQ(get(Certificate::parse(with_long_serial(good, {0xff, 0xff, 0x80}))).fields().serial,
            "-80");
  EXPECT_FALSE(Certificate::parse(with_long_serial(good, {})).ok());
  EXPECT_FALSE(Certificate::parse(with_long_serial(good, Bytes(65, 1))).ok());
}

TEST(Certificate, ALengthMayBeTooLong) {
  Bytes der = make_certificate(Vendor::get().ec_ek());
  ASSERT_EQ(der.at(1), 0x82);
  der.at(1) = 0x83;
  der.insert(der.begin() + 2, 0);
  EXPECT_EQ(get(Certificate::parse(der)).fields().forgiven,
            Strings{"the length at offset 1 is not minimally encoded"});
}

TEST(Certificate, CutOffAnywhereItIsRefused) {
  const Bytes der = make_certificate(Vendor::get().rsa_ek());
  for (std::size_t size = 0; size < der.size(); ++size) {
    EXPECT_FALSE(Certificate::parse(ByteView(der).first(size)).ok()) << size;
  }
  Bytes longer = der;
  longer.push_back(0);
  EXPECT_FALSE(Certificate::parse(longer).ok());
}

TEST(Certificate, NoChangedByteKeepsTheSignature) {
  const Bytes good = make_certificate(Vendor::get().ec_ek());
  std::size_t parsed = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes der = good;
    der.at(i) ^= 0x04U;
    const auto certificate = Certificate::parse(der);
    if (!certificate.ok()) continue;
    ++parsed;
    EXPECT_FALSE(certificate->is_signed_by(Vendor::get().intermediate_key.get())) << i;
  }
  EXPECT_GT(parsed, 100U);
}

TEST(Certificate, TextIsPrintable) {
  Wanted wanted = Vendor::get().ec_ek();
  wanted.name = "a\x1b[31m\ne\xc3\xa9";
  EXPECT_EQ(made(wanted).fields().subject, "CN=a\\1B[31m\\0Ae\\C3\\A9");
}

TEST(Manufacturer, HasAName) {
  EXPECT_EQ(cs::tpm::manufacturer_name("id:494E5443"), "Intel");
  EXPECT_EQ(cs::tpm::manufacturer_name(0x53544d20), "STMicroelectronics");
  for (const std::string text : {"", "494E5443", "id:494E544", "id:494E544G", "id:00000000"}) {
    EXPECT_FALSE(cs::tpm::manufacturer_name(std::string_view(text))) << text;
  }
}

}  // namespace
