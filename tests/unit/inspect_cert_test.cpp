// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign inspect cert` on certificates from other hands: those that swtpm makes for its TPMs,
// and an attribute certificate that strongSwan's pki made for one of them.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tests/support/manual_clock.h"
#include "tests/unit/temporary_directory.h"
#include "tools/inspect/cert.h"

namespace {

using cs::inspect::Outcome;
using Strings = std::vector<std::string>;

std::string seed(const std::string& name) {
  return std::string(CS_SEEDS) + "/" + name;
}
const std::string rsa_ek = seed("nv_certificate/swtpm-ek-rsa2048");
const std::string ec_ek = seed("nv_certificate/swtpm-ek-p384");
const std::string issuer = seed("nv_certificate/swtpm-issuer");
const std::string acert = seed("attribute_certificate/strongswan-acert");
const std::string acert_issuer = seed("nv_certificate/acert-issuer");

class InspectCert : public testing::Test {
 protected:
  InspectCert() {
    trust("nv_certificate/swtpm-root");
    clock_.set_wall(cs::from_time_t(1'800'000'000));  // 2027, after they were made
  }
  void trust(const std::string& name) {
    std::ifstream file(seed(name));
    std::ostringstream text;
    text << file.rdbuf();
    directory_.write(name, text.str());
  }
  Outcome inspect(const Strings& files, bool with_roots, bool json = true) {
    std::ostringstream out;
    std::ostringstream err;
    const Outcome outcome = cs::inspect::inspect_cert(
        {files, with_roots ? directory_.path() : "", json}, clock_, out, err);
    text_ = out.str();
    error_ = err.str();
    json_ = json && !text_.empty() ? nlohmann::json::parse(text_) : nlohmann::json();
    return outcome;
  }
  [[nodiscard]] std::string refused() const {
    std::string codes;
    for (const auto& certificate : json_.at("certificates")) {
      for (const auto& check : certificate.at("checks")) {
        if (check.at("verdict") != "good") codes += check.at("code").get<std::string>() + " ";
      }
    }
    return codes;
  }

  cs::test::TemporaryDirectory directory_;
  cs::test::ManualClock clock_;
  std::string text_;
  std::string error_;
  nlohmann::json json_;
};

TEST_F(InspectCert, EndorsementCertificatesOfSwtpmVerify) {
  ASSERT_EQ(inspect({rsa_ek, ec_ek, issuer}, true), Outcome::good) << text_;
  EXPECT_EQ(json_.at("schema_version"), 1);
  EXPECT_EQ(json_.at("complete"), true);
  EXPECT_EQ(json_.at("verdict"), "good");
  const auto& certificates = json_.at("certificates");
  ASSERT_EQ(certificates.size(), 3U);
  EXPECT_EQ(certificates[0].at("kind"), "endorsement");
  EXPECT_EQ(certificates[0].at("key"), "RSA-2048");
  EXPECT_EQ(certificates[0].at("manufacturer"), "id:00001014 IBM (swtpm)");
  EXPECT_EQ(certificates[0].at("not_after"), "9999-12-31T23:59:59Z");
  EXPECT_EQ(certificates[0].at("path"),
            (Strings{"unknown", "swtpm-localca", "swtpm-localca-rootca"}));
  EXPECT_EQ(certificates[1].at("key"), "P-384");
  EXPECT_EQ(certificates[2].at("kind"), "authority");
  EXPECT_TRUE(certificates[2].at("checks").empty());
}

TEST_F(InspectCert, WithoutRootsTheChainIsNotChecked) {
  EXPECT_EQ(inspect({rsa_ek}, false), Outcome::good);
  EXPECT_EQ(json_.at("verdict"), "unchecked");
  EXPECT_EQ(inspect({rsa_ek}, false, false), Outcome::good);
  EXPECT_NE(text_.find("verdict: unchecked, chain not checked: give --roots\n"), std::string::npos);
}

TEST_F(InspectCert, WhatDoesNotVerifyIsRefused) {
  EXPECT_EQ(inspect({rsa_ek}, true), Outcome::refused);
  EXPECT_EQ(refused(), "issuer_missing ");
  EXPECT_EQ(inspect({rsa_ek}, true, false), Outcome::refused);
  EXPECT_NE(text_.find("\nverdict: refused\n"), std::string::npos);
}

TEST_F(InspectCert, PlatformCertificatesOfSwtpmArePublicKeyCertificates) {
  EXPECT_EQ(inspect({seed("nv_certificate/swtpm-platform"), issuer}, true), Outcome::good) << text_;
  EXPECT_EQ(json_.at("certificates")[0].at("kind"), "platform");
}

TEST_F(InspectCert, AnAttributeCertificateOfStrongswanVerifies) {
  trust("nv_certificate/acert-issuer");
  EXPECT_EQ(inspect({acert, rsa_ek, issuer}, true), Outcome::good) << text_;
  const auto& platform = json_.at("certificates").back();
  EXPECT_EQ(platform.at("kind"), "platform attribute");
  EXPECT_EQ(platform.at("holder_issuer"), "CN=swtpm-localca");
  EXPECT_EQ(platform.at("holder_serial"), "02");
  EXPECT_EQ(platform.at("issuer"), "CN=Platform Maker Root");
  EXPECT_EQ(platform.at("path"), Strings{"Platform Maker Root"});
  EXPECT_EQ(inspect({acert, ec_ek, issuer}, true), Outcome::refused);
  EXPECT_EQ(refused(), "holder ");
  EXPECT_EQ(inspect({acert}, true), Outcome::refused);
  EXPECT_EQ(refused(), "holder ");  // not checked, which with roots is not enough
  EXPECT_EQ(inspect({acert, rsa_ek, acert_issuer}, false), Outcome::good);
  EXPECT_EQ(json_.at("verdict"), "unchecked");
}

TEST_F(InspectCert, AuthoritiesAloneAreJudged) {
  EXPECT_EQ(inspect({issuer}, true), Outcome::good);
  EXPECT_EQ(json_.at("certificates")[0].at("path"),
            (Strings{"swtpm-localca", "swtpm-localca-rootca"}));
}

TEST_F(InspectCert, WhatCannotBeReadIsNoPartialResult) {
  directory_.write("bad", "what");
  EXPECT_EQ(inspect({rsa_ek, directory_.file("bad")}, false), Outcome::unreadable);
  EXPECT_EQ(json_.at("complete"), false);
  EXPECT_EQ(json_.at("error").at("kind"), "invalid");
  EXPECT_FALSE(json_.contains("certificates"));
  EXPECT_EQ(error_.rfind("countersign: " + directory_.file("bad") + ": no certificate", 0), 0U);
  EXPECT_EQ(inspect({directory_.file("nowhere")}, false), Outcome::unreadable);
  EXPECT_EQ(inspect({}, false), Outcome::usage);
}

TEST_F(InspectCert, SkippedRootsAreToldOf) {
  directory_.write("bad", "what");
  EXPECT_EQ(inspect({rsa_ek, issuer}, true), Outcome::good);
  EXPECT_EQ(json_.at("skipped_roots").size(), 1U);
}

}  // namespace
