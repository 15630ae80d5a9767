// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/chain.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"
#include "tests/unit/certificate_maker.h"
#include "tests/unit/temporary_directory.h"
#include "tpm/certificates/der.h"

namespace {

using cs::test::as_pem;
using cs::test::Bytes;
using cs::test::get;
using cs::test::ManualClock;
using cs::test::Vendor;
using cs::test::Wanted;
using cs::tpm::Certificate;
using cs::tpm::Chain;
using cs::tpm::VendorRoots;
using Strings = std::vector<std::string>;

class ChainTest : public testing::Test {
 protected:
  void put(const std::string& name, const Wanted& wanted) {
    directory_.write(name, as_pem(make_certificate(wanted)));
  }
  Chain verify(const Bytes& leaf, const std::vector<Bytes>& given = {}) {
    certificates_.clear();
    certificates_.push_back(get(Certificate::parse(leaf)));
    for (const Bytes& one : given) certificates_.push_back(get(Certificate::parse(one)));
    std::vector<const Certificate*> list;
    for (const Certificate& one : certificates_) list.push_back(&one);
    return verify_chain(certificates_.front(), list, get(VendorRoots::read(directory_.path())),
                        clock_);
  }
  Chain verify(const Wanted& leaf, const std::vector<Wanted>& given = {}) {
    std::vector<Bytes> list;
    for (const Wanted& one : given) list.push_back(make_certificate(one));
    return verify(make_certificate(leaf), list);
  }
  static void expect_refused(const Chain& chain, std::string_view code, const std::string& words) {
    EXPECT_EQ(chain.check.code, code) << chain.check.sentence;
    EXPECT_EQ(to_string(chain.check.verdict), "refused");
    EXPECT_NE(chain.check.sentence.find(words), std::string::npos) << chain.check.sentence;
  }

  const Vendor& vendor_ = Vendor::get();
  cs::test::TemporaryDirectory directory_;
  std::vector<Certificate> certificates_;
  ManualClock clock_;
};

TEST_F(ChainTest, LeadsToTheRootThroughWhatIsGivenOrInTheDirectory) {
  put("root.pem", vendor_.root());
  const Strings path{"TPM Test TPM", "Intermediate 01", "Vendor Root"};
  const Chain given = verify(vendor_.rsa_ek(), {vendor_.intermediate()});
  EXPECT_EQ(to_string(given.check.verdict), "good") << given.check.sentence;
  EXPECT_EQ(given.path, path);
  put("vendor/intermediate/01.crt", vendor_.intermediate());
  const Chain found = verify(vendor_.ec_ek());
  EXPECT_EQ(to_string(found.check.verdict), "good") << found.check.sentence;
  EXPECT_EQ(found.path, path);
}

TEST_F(ChainTest, AnIntermediateInTheDirectoryIsNoAnchor) {
  put("root.pem", vendor_.root());
  const auto key = cs::test::make_ec_key();
  Wanted forged = vendor_.intermediate();
  forged.name = "Forged";
  forged.key = key.get();
  forged.issuer = "Nobody";
  forged.issuer_key = key.get();
  put("fetched.pem", forged);
  Wanted ek = vendor_.ec_ek();
  ek.issuer = "Forged";
  ek.issuer_key = key.get();
  expect_refused(verify(ek), "issuer_missing", "'Forged' is issued by 'Nobody'");
}

TEST_F(ChainTest, SaysWhoseCertificateIsMissingAndWhereToGetIt) {
  expect_refused(verify(vendor_.ec_ek()), "no_roots", "no root is in " + directory_.path());
  put("root.pem", vendor_.root());
  expect_refused(verify(vendor_.ec_ek()), "issuer_missing",
                 "'TPM Test TPM' is issued by 'Intermediate 01', whose certificate is neither in " +
                     directory_.path() +
                     " nor among those given; fetch it from http://vendor.example/int01.crt");
}

TEST_F(ChainTest, TellsARootOfTheSameNameFromTheRightOne) {
  const auto key = cs::test::make_ec_key();
  Wanted other = vendor_.root();
  other.key = key.get();
  other.issuer_key = key.get();
  other.extensions.push_back({NID_subject_key_identifier, "aabb"});
  put("root.pem", other);
  Wanted intermediate = vendor_.intermediate();
  const Chain chain = verify(vendor_.ec_ek(), {intermediate});
  expect_refused(chain, "signature",
                 "the signature of 'Intermediate 01' does not verify under 'Vendor Root'");
  // With a key identifier of its issuer the other root is no candidate at all.
  const Bytes named = cs::test::change_signed(
      make_certificate(intermediate), vendor_.root_key.get(), [](cs::test::Parts& parts) {
        const Bytes id{0x30, 0x0f, 0x06, 0x03, 0x55, 0x1d, 0x23, 0x04, 0x08,
                       0x30, 0x06, 0x80, 0x04, 0x01, 0x02, 0x03, 0x04};
        cs::ByteReader reader(parts.back());
        auto outer = get(cs::tpm::read_der(reader, "extensions"));
        auto inner = get(cs::tpm::read_der(outer.inside, "extensions"));
        parts.back() =
            cs::tpm::make_der(0xa3, {cs::tpm::make_der(0x30, {inner.inside.rest(), id})});
      });
  expect_refused(verify(make_certificate(vendor_.ec_ek()), {named}), "issuer_key_differs",
                 "is of another key");
}

TEST_F(ChainTest, ARootThatIsOnlyGivenIsNotTrusted) {
  Wanted elsewhere = vendor_.root();
  elsewhere.name = elsewhere.issuer = "Another Root";
  put("root.pem", elsewhere);
  expect_refused(verify(vendor_.ec_ek(), {vendor_.intermediate(), vendor_.root()}),
                 "root_not_trusted", "the path ends in the root 'Vendor Root'");
}

TEST_F(ChainTest, GoesByTheClockItIsGiven) {
  Wanted root = vendor_.root();
  root.not_after = cs::test::now + 10;
  put("root.pem", root);
  const std::vector<Wanted> given{vendor_.intermediate()};
  EXPECT_EQ(verify(vendor_.ec_ek(), given).check.code, "chain");
  clock_.advance(std::chrono::seconds(11));
  expect_refused(verify(vendor_.ec_ek(), given), "expired", "'Vendor Root' expired 2023-11-14");
  clock_.set_wall(cs::from_time_t(cs::test::now - 2 * cs::test::year));
  expect_refused(verify(vendor_.ec_ek(), given), "not_yet_valid", "is not valid before");
}

TEST_F(ChainTest, ChecksEverySignature) {
  put("root.pem", vendor_.root());
  Bytes ek = make_certificate(vendor_.ec_ek());
  ek.back() ^= 1U;
  expect_refused(verify(ek, {make_certificate(vendor_.intermediate())}), "signature",
                 "the signature of 'TPM Test TPM' does not verify under 'Intermediate 01'");
}

TEST_F(ChainTest, WhatWasForgivenIsStillSigned) {
  put("root.pem", vendor_.root());
  const auto lengthen = [&](EVP_PKEY* signer) {
    return cs::test::change_signed(make_certificate(vendor_.ec_ek()), signer,
                                   [](cs::test::Parts& parts) {
                                     parts.at(1) = cs::tpm::make_der(0x02, {Bytes{0, 0x12, 0x34}});
                                   });
  };
  const std::vector<Bytes> given{make_certificate(vendor_.intermediate())};
  const Chain chain = verify(lengthen(vendor_.intermediate_key.get()), given);
  EXPECT_EQ(to_string(chain.check.verdict), "good") << chain.check.sentence;
  expect_refused(verify(lengthen(vendor_.root_key.get()), given), "signature", "does not verify");
}

TEST_F(ChainTest, WeakOrUnknownThingsAreRefused) {
  put("root.pem", vendor_.root());
  const std::vector<Wanted> given{vendor_.intermediate()};
  Wanted ek = vendor_.ec_ek();
  ek.digest = EVP_sha1();
  expect_refused(verify(ek, given), "weak", "is signed with ecdsa-with-SHA1");
  const auto key = cs::test::make_rsa_key(1024);
  ek = vendor_.rsa_ek();
  ek.key = key.get();
  expect_refused(verify(ek, given), "weak", "(RSA-1024) is too weak");
  ek = vendor_.ec_ek();
  ek.extensions.push_back({NID_private_key_usage_period, "critical,DER:30:00"});
  expect_refused(verify(ek, given), "critical_extension", "2.5.29.16");
  Wanted no_authority = vendor_.intermediate();
  no_authority.extensions.at(0).value = "critical,CA:FALSE";
  no_authority.extensions.at(1).value = "keyCertSign";
  expect_refused(verify(vendor_.ec_ek(), {no_authority}), "issuer_not_authority",
                 "'Intermediate 01' may not issue certificates");
}

TEST_F(ChainTest, ABadFileIsSkippedAndToldOf) {
  put("root.pem", vendor_.root());
  directory_.write("README", "what");
  directory_.write(".hidden", "what");
  ASSERT_EQ(::mkfifo(directory_.file("fifo").c_str(), 0600), 0);
  const VendorRoots roots = get(VendorRoots::read(directory_.path()));
  EXPECT_EQ(roots.anchors().size(), 1U);
  ASSERT_EQ(roots.skipped().size(), 2U);
  EXPECT_EQ(roots.skipped()[0].rfind(directory_.file("README") + ": no certificate", 0), 0U);
  EXPECT_NE(roots.skipped()[1].find("no regular file"), std::string::npos);
  EXPECT_FALSE(VendorRoots::read(directory_.file("nowhere")).ok());
}

TEST_F(ChainTest, TheDirectoryHasLimits) {
  directory_.write("a/b/c/d/e", "what");
  EXPECT_TRUE(VendorRoots::read(directory_.path()).ok());
  directory_.write("a/b/c/d/f/g", "what");
  const auto deep = VendorRoots::read(directory_.path());
  ASSERT_FALSE(deep.ok());
  EXPECT_EQ(deep.error().kind(), cs::ErrorKind::limit);
}

}  // namespace
