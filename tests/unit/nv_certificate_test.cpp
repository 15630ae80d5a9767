// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/nv_certificate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/unwrap.h"
#include "tests/unit/certificate_maker.h"

namespace {

using cs::ByteView;
using cs::ErrorKind;
using cs::test::Bytes;
using cs::test::get;
using cs::test::Vendor;
using cs::tpm::CertificateForm;
using cs::tpm::find_certificates;

const Bytes& ek() {
  static const Bytes der = make_certificate(Vendor::get().ec_ek());
  return der;
}

Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

void expect_refused(const Bytes& input, ErrorKind kind, std::string_view why) {
  const auto found = find_certificates(input);
  ASSERT_FALSE(found.ok()) << why;
  EXPECT_EQ(found.error().kind(), kind) << found.error().message();
  EXPECT_NE(found.error().message().find(why), std::string::npos) << found.error().message();
}

TEST(NvCertificate, PlainDerNeedsNoForgiveness) {
  const auto found = get(find_certificates(ek()));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().der, ek());
  EXPECT_EQ(found.front().form, CertificateForm::public_key);
  EXPECT_TRUE(found.front().forgiven.empty());
}

TEST(NvCertificate, PaddingOfEitherKindIsCutOff) {
  for (const std::uint8_t fill : Bytes{0x00, 0xff}) {
    const auto found = get(find_certificates(ek() + Bytes(300, fill)));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found.front().der, ek());
    EXPECT_EQ(found.front().forgiven, std::vector<std::string>{"300 bytes of padding after it"});
  }
}

TEST(NvCertificate, TheHeaderOfTpm12IsPassedOver) {
  const auto size = static_cast<std::uint16_t>(ek().size() + 2);
  const Bytes header{
      0x10, 0x01, 0x00, static_cast<std::uint8_t>(size >> 8U), static_cast<std::uint8_t>(size),
      0x10, 0x02};
  const auto found = get(find_certificates(header + ek()));
  EXPECT_EQ(found.front().der, ek());
  EXPECT_EQ(found.front().forgiven,
            std::vector<std::string>{"a header of TPM 1.2 (7 bytes) stands before it"});
  Bytes partial = header + ek();
  partial.at(2) = 1;
  expect_refused(partial, ErrorKind::unsupported, "partial kind");
}

TEST(NvCertificate, AnOnDieChainComesApart) {
  const Bytes root = make_certificate(Vendor::get().root());
  const auto found = get(find_certificates(ek() + root + Bytes(8, 0xff) + ek() + Bytes(9, 0)));
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[1].der, root);
  EXPECT_EQ(found[2].der, ek());
}

TEST(NvCertificate, PemIsReadWithTextAroundIt) {
  const std::string text =
      "Certificate:\n" + cs::test::as_pem(ek()) + "\n" +
      cs::test::as_pem(make_certificate(Vendor::get().root()), "X509 CERTIFICATE");
  EXPECT_EQ(get(find_certificates(bytes_of(text))).size(), 2U);
  expect_refused(bytes_of(text.substr(0, text.size() - 40)), ErrorKind::invalid, "block of PEM");
  expect_refused(bytes_of(text + cs::test::as_pem(ek(), "PRIVATE KEY")), ErrorKind::invalid,
                 "'PRIVATE KEY', where a certificate is wanted");
}

TEST(NvCertificate, AttributeCertificatesAreToldApart) {
  const Bytes der =
      cs::test::make_platform_certificate({.issuer_key = Vendor::get().intermediate_key.get()});
  EXPECT_EQ(get(find_certificates(der)).front().form, CertificateForm::attribute);
  EXPECT_EQ(
      get(find_certificates(bytes_of(cs::test::as_pem(der, "ATTRIBUTE CERTIFICATE")))).front().form,
      CertificateForm::attribute);
}

TEST(NvCertificate, WhatIsNoneIsNamed) {
  expect_refused({}, ErrorKind::not_found, "there is nothing");
  expect_refused(Bytes(512, 0xff), ErrorKind::not_found, "never written");
  expect_refused({0x78, 0x9c, 1, 2, 3}, ErrorKind::unsupported, "unpack it first");
  expect_refused({0x1f, 0x8b, 8}, ErrorKind::unsupported, "unpack it first");
  expect_refused(bytes_of(R"({"pubhash":"x","certificate":"MIIE"})"), ErrorKind::unsupported,
                 "base64url");
  expect_refused(bytes_of("https://ekop.example/x"), ErrorKind::unsupported, "fetch");
  expect_refused(bytes_of("what"), ErrorKind::invalid, "it begins with 77686174");
}

TEST(NvCertificate, LimitsHold) {
  expect_refused(Bytes(cs::tpm::most_certificate_bytes + 1, 0xff), ErrorKind::limit, "65537 bytes");
  Bytes many;
  for (std::size_t i = 0; i < cs::tpm::most_certificates; ++i) many = many + ek();
  EXPECT_EQ(get(find_certificates(many)).size(), cs::tpm::most_certificates);
  expect_refused(many + ek(), ErrorKind::limit, "more than 16");
}

TEST(NvCertificate, CutOffAnywhereItIsRefused) {
  for (std::size_t size = 0; size < ek().size(); ++size) {
    EXPECT_FALSE(find_certificates(ByteView(ek()).first(size)).ok()) << size;
  }
  Bytes indefinite = ek();
  indefinite.at(1) = 0x80;
  expect_refused(indefinite, ErrorKind::invalid, "indefinite");
  expect_refused(ek() + Bytes{0x11}, ErrorKind::truncated, "a certificate");
  expect_refused(ek() + Bytes{0x11, 0x00}, ErrorKind::invalid, "the tag 0x11");
}

}  // namespace
