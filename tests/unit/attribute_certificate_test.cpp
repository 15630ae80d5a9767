// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/attribute_certificate.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include <string>

#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"
#include "tests/unit/certificate_maker.h"
#include "tests/unit/temporary_directory.h"

namespace {

using cs::ByteView;
using cs::test::as_pem;
using cs::test::Bytes;
using cs::test::get;
using cs::test::ManualClock;
using cs::test::Vendor;
using cs::test::Wanted;
using cs::test::WantedPlatform;
using cs::tpm::AttributeCertificate;
using cs::tpm::Certificate;
using cs::tpm::VendorRoots;
using Strings = std::vector<std::string>;

class AttributeCertificateTest : public testing::Test {
 protected:
  AttributeCertificateTest() {
    directory_.write("root.pem", as_pem(make_certificate(vendor_.root())));
    given_.push_back(get(Certificate::parse(make_certificate(vendor_.ec_ek()))));
    given_.push_back(get(Certificate::parse(make_certificate(maker()))));
  }
  [[nodiscard]] Wanted maker() const {
    Wanted wanted = vendor_.intermediate();
    wanted.name = "Machine Maker";
    wanted.extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                         {NID_key_usage, "critical,digitalSignature"}};
    return wanted;
  }
  [[nodiscard]] WantedPlatform wanted() const {
    return {.issuer_key = vendor_.intermediate_key.get()};
  }
  // "code" of what was refused, "code?" of what was not checked.
  Strings verify(const WantedPlatform& platform, bool with_roots = true) {
    const auto certificate = get(AttributeCertificate::parse(make_platform_certificate(platform)));
    const VendorRoots roots = get(VendorRoots::read(directory_.path()));
    std::vector<const Certificate*> list;
    for (const Certificate& one : given_) list.push_back(&one);
    const auto verdict = verify_platform(certificate, list, with_roots ? &roots : nullptr, clock_);
    path_ = verdict.path;
    Strings codes;
    for (const auto& check : verdict.findings.checks()) {
      using cs::tpm::Verdict;
      if (check.verdict == Verdict::fails) codes.emplace_back(check.code);
      if (check.verdict == Verdict::not_checked) codes.push_back(std::string(check.code) + "?");
    }
    return codes;
  }

  const Vendor& vendor_ = Vendor::get();
  cs::test::TemporaryDirectory directory_;
  std::vector<Certificate> given_;
  Strings path_;
  ManualClock clock_;
};

TEST_F(AttributeCertificateTest, SaysWhichMachineItIsOf) {
  const auto platform = get(AttributeCertificate::parse(make_platform_certificate(wanted())));
  const auto& fields = platform.fields();
  EXPECT_EQ(fields.holder_issuer, "CN=Intermediate 01");
  EXPECT_EQ(fields.holder_serial, "1234");
  EXPECT_EQ(fields.issuer, "CN=Machine Maker");
  EXPECT_EQ(fields.serial, "4d");
  EXPECT_EQ(fields.not_before, "2023-01-01T00:00:00Z");
  EXPECT_EQ(fields.not_after, "2040-01-01T00:00:00Z");
  EXPECT_EQ(fields.manufacturer, "ACME");
  EXPECT_EQ(fields.model, "Gateway 9");
  EXPECT_EQ(fields.version, "1.0");
  EXPECT_EQ(fields.platform_serial, "SN-0815");
  EXPECT_EQ(fields.attributes, Strings{"2.23.133.2.25 tcgCredentialType"});
  EXPECT_EQ(fields.credential_type, "2.23.133.8.2");
  EXPECT_FALSE(fields.is_delta());
}

TEST_F(AttributeCertificateTest, AGoodOneVerifies) {
  EXPECT_EQ(verify(wanted()), Strings{});
  EXPECT_EQ(path_, (Strings{"Machine Maker", "Vendor Root"}));
  EXPECT_EQ(verify(wanted(), false), Strings{"chain?"});
}

TEST_F(AttributeCertificateTest, ItsIssuerMayStandInTheDirectory) {
  given_.pop_back();
  EXPECT_EQ(verify(wanted()), Strings{"issuer_missing"});
  EXPECT_EQ(verify(wanted(), false), Strings{"signature?"});
  directory_.write("maker.pem", as_pem(make_certificate(maker())));
  EXPECT_EQ(verify(wanted()), Strings{});
}

TEST_F(AttributeCertificateTest, IsBoundToOneEndorsementCertificate) {
  WantedPlatform other = wanted();
  other.holder_serial = 0x1235;
  EXPECT_EQ(verify(other), Strings{"holder"});
  other = wanted();
  other.holder_issuer = "Intermediate 02";
  EXPECT_EQ(verify(other), Strings{"holder"});
  given_.erase(given_.begin());
  EXPECT_EQ(verify(wanted()), Strings{"holder?"});
}

TEST_F(AttributeCertificateTest, EachCheckHasItsCode) {
  WantedPlatform bad = wanted();
  bad.issuer_key = vendor_.root_key.get();
  EXPECT_EQ(verify(bad), Strings{"signature"});
  bad = wanted();
  bad.not_after = "20230201000000Z";
  EXPECT_EQ(verify(bad), Strings{"validity"});
  bad = wanted();
  bad.not_before = "20390101000000Z";
  EXPECT_EQ(verify(bad), Strings{"validity"});
  bad = wanted();
  for (const Bytes& type :
       {Bytes{0x67, 0x81, 0x05, 0x08, 0x05}, Bytes{0x67, 0x81, 0x05, 0x08, 0x04},
        Bytes{}}) {  // a delta, another kind, none that can be read
    bad.credential_type = type;
    EXPECT_EQ(verify(bad), Strings{"base_certificate"});
  }
  bad = wanted();
  bad.digest = EVP_sha1();
  EXPECT_EQ(verify(bad), Strings{"signature_digest"});
  bad = wanted();
  bad.extensions = {{{0x55, 0x1d, 0x37}, false}};  // targeting
  EXPECT_EQ(verify(bad), Strings{});
  bad.extensions.front().second = true;
  EXPECT_EQ(verify(bad), Strings{"critical_extension"});
}

TEST_F(AttributeCertificateTest, ItsIssuerMustBeOneWhoMaySign) {
  Wanted authority = vendor_.intermediate();
  authority.name = "Machine Maker";
  given_.back() = get(Certificate::parse(make_certificate(authority)));
  EXPECT_EQ(verify(wanted()), Strings{"issuer_usage"});
  authority.issuer = "Nobody";
  authority.extensions.at(1).value = "digitalSignature,keyCertSign";
  given_.back() = get(Certificate::parse(make_certificate(authority)));
  EXPECT_EQ(verify(wanted()), Strings{"issuer_missing"});
}

TEST_F(AttributeCertificateTest, AnotherVersionIsRefused) {
  WantedPlatform old = wanted();
  old.version = 0;
  const auto refused = AttributeCertificate::parse(make_platform_certificate(old));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message(), "the attribute certificate: it is not of version 2");
}

TEST_F(AttributeCertificateTest, CutOffOrChangedItNeverVerifies) {
  const Bytes good = make_platform_certificate(wanted());
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(AttributeCertificate::parse(ByteView(good).first(size)).ok()) << size;
  }
  std::size_t parsed = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes der = good;
    der.at(i) ^= 0x04U;
    const auto certificate = AttributeCertificate::parse(der);
    if (!certificate.ok()) continue;
    ++parsed;
    EXPECT_FALSE(certificate->is_signed_by(vendor_.intermediate_key.get())) << i;
  }
  EXPECT_GT(parsed, 50U);
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_FALSE(AttributeCertificate::parse(longer).ok());
}

}  // namespace
