// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <fstream>
#include <sstream>

#include "base/fingerprint.h"
#include "base/openssl.h"
#include "keyms/measure/approval_request.h"
#include "tests/support/unwrap.h"
#include "tests/unit/temporary_directory.h"
#include "tools/approve/approve.h"
#include "tpm/small_file.h"

namespace cs::approve {
namespace {

using keyms::ApprovalRequest;
using test::get;
using tpm::Bytes;
using tpm::CelEvent;

constexpr std::array banks{tpm::HashAlgorithm::sha256};
constexpr tpm::CelRegister pcr15{tpm::CelRegister::Kind::pcr, 15};
constexpr std::string_view drift = "policy-extra lan: a policy nobody agreed";

class ApproveCommand : public ::testing::Test {
 protected:
  ApproveCommand() {
    options.request = directory.file("request");
    options.key = directory.file("key");
    options.out = directory.file("approval");
    std::FILE* const file = std::fopen(options.key.c_str(), "w");
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
    request.gateway = "berlin";
    request.purpose = "store";
    request.counter_index = 0x018c5001;
    request.counter_at_most = 7;
    const auto selection = get(tpm::PcrSelection::parse("sha256:0,7"));
    tpm::PcrValues values;
    for (const std::uint32_t pcr : {0U, 7U})
      get(values.set(pcr, tpm::Digest(tpm::HashAlgorithm::sha256, 9)));
    request.boot = get(tpm::PcrState::of(selection, values));
    keyms::InForce nothing;
    request.static_log = get(keyms::log_of_start({15, {banks.begin(), banks.end()}}, nothing));
  }
  void log(CelEvent event) {
    const ByteView content(reinterpret_cast<const std::uint8_t*>(drift.data()), drift.size());
    const auto record = get(tpm::write_cel_record(++records, pcr15, banks, event, content));
    request.static_log.insert(request.static_log.end(), record.begin(), record.end());
  }
  // The digits of what is asked for.
  std::string ask() {
    const Bytes bytes = get(request.encode());
    std::ofstream(options.request, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return fingerprint_text(tpm::Hasher(tpm::HashAlgorithm::sha256).hash({bytes}).bytes());
  }
  Outcome run(const std::string& typed) {
    std::istringstream in(typed);
    out.str("");
    err.str("");
    return approve(options, in, out, err);
  }
  bool is_signed() {
    const auto bytes = tpm::read_small_file(options.out, tpm::Approval::most);
    if (!bytes.ok()) return false;
    const Openssl<BIO, BIO_free> bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PUBKEY(bio.get(), key.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &text);
    const auto pem = get(tpm::PublicKey::from_pem({text, static_cast<std::size_t>(size)}));
    return keyms::take_approval(*bytes, request, get(tpm::approver_area(pem))).ok();
  }
  bool told(std::string_view part) { return out.str().find(part) != std::string::npos; }

  test::TemporaryDirectory directory;
  Openssl<EVP_PKEY, EVP_PKEY_free> key{EVP_EC_gen("P-256")};
  ApprovalRequest request;
  std::uint64_t records = 0;  // the configuration is number 0
  Options options;
  std::ostringstream out;
  std::ostringstream err;
};

TEST_F(ApproveCommand, SignsWhatWasReadAloud) {
  log(CelEvent::drift);
  log(CelEvent::healing);
  const std::string digits = ask();
  EXPECT_EQ(run(digits + "\n"), Outcome::good) << err.str();
  EXPECT_TRUE(told("gateway berlin, for its store"));
  EXPECT_TRUE(told("record 1: drift, healed by record 2: policy-extra lan")) << out.str();
  EXPECT_FALSE(told(digits)) << "they are to come from the gateway";
  EXPECT_TRUE(is_signed());
}

TEST_F(ApproveCommand, SignsNothingElse) {
  const std::string other = ask();
  ++request.counter_at_most;
  ask();
  EXPECT_EQ(run(other), Outcome::refused);
  for (const char* typed : {"", "yes", "123456"}) EXPECT_EQ(run(typed), Outcome::refused);
  EXPECT_FALSE(is_signed());
  options.yes = true;
  EXPECT_EQ(run(""), Outcome::good);
  EXPECT_TRUE(is_signed());
}

TEST_F(ApproveCommand, SignsNoDriftThatIsOpen) {
  log(CelEvent::drift);
  const std::string digits = ask();
  EXPECT_EQ(run(digits), Outcome::refused);
  EXPECT_TRUE(told("NOT HEALED"));
  EXPECT_FALSE(is_signed());
}

TEST_F(ApproveCommand, ForeignEventsHaveToBeExplained) {
  const tpm::Digest others(tpm::HashAlgorithm::sha256, 3);
  request.static_log = get(keyms::log_of_start(
      {15, {banks.begin(), banks.end()}, {{"systemd-pcrphase", {others}}}}, {}));
  const std::string digits = ask();
  EXPECT_EQ(run(digits), Outcome::refused);
  options.explained = {others};
  EXPECT_EQ(run(digits), Outcome::good) << err.str();
}

TEST_F(ApproveCommand, WhatCannotBeReadIsSaid) {
  const std::string digits = ask();
  options.key = options.request;
  EXPECT_EQ(run(digits), Outcome::unreadable);
  EXPECT_NE(err.str().find("openssl genpkey"), std::string::npos);
  options.request = directory.file("nothing");
  EXPECT_EQ(run(digits), Outcome::unreadable);
  std::ofstream(options.request) << "no request";
  EXPECT_EQ(run(digits), Outcome::unreadable);
}

}  // namespace
}  // namespace cs::approve
