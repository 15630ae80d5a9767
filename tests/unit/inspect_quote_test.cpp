// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tests/support/require.h"
#include "tests/unit/attester.h"
#include "tools/inspect/quote.h"

namespace {

using cs::inspect::Outcome;
using cs::inspect::QuoteOptions;
using cs::test::Attester;
using Json = nlohmann::json;

constexpr auto nonce = "00112233445566778899aabbccddeeff";
constexpr auto selection = "sha256:0,7";

class InspectQuote : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    attester = std::make_unique<Attester>();
    attester->quote(Attester::ak_ecdsa, selection, nonce);
    for (const std::string format : {"pem", "tss"}) {
      attester->tool({"tpm2_readpublic", "-Q", "-c", Attester::ak_ecdsa, "-f", format, "-o",
                      attester->file("key." + format)});
    }
    const std::string zeros(64, '0');
    write("pcrs", "sha256:0=" + zeros + "\nsha256:7=" + zeros + "\n");
  }
  static void write(const std::string& name, const std::string& text) {
    std::ofstream(attester->file(name), std::ios::binary) << text;
  }
  static std::string text_of(const std::string& name) {
    const auto bytes = attester->read(name);
    return {bytes.begin(), bytes.end()};
  }

  // All that can be given on a command line.
  static QuoteOptions all() {
    return {.attest = attester->file("attest"),
            .signature = attester->file("signature"),
            .key = attester->file("key.tss"),
            .nonce = nonce,
            .pcrs = attester->file("pcrs"),
            .selection = selection};
  }
  Outcome run(const QuoteOptions& options) {
    out.str("");
    err.str("");
    return inspect_quote(options, out, err);
  }
  std::string last_line() {
    const std::string text = out.str();
    return text.substr(text.rfind('\n', text.size() - 2) + 1);
  }

  inline static std::unique_ptr<Attester> attester;
  std::ostringstream out, err;
};

TEST_F(InspectQuote, GoodNamesWhatWasNotChecked) {
  EXPECT_EQ(run(all()), Outcome::good);
  EXPECT_EQ(last_line(),
            "verdict: good; not checked: signer, clock, reset_count, restart_count, firmware\n");
  EXPECT_EQ(err.str(), "");
  EXPECT_EQ(
      run({.attest = all().attest, .signature = all().signature, .key = attester->file("key.pem")}),
      Outcome::good);
  EXPECT_EQ(last_line(),
            "verdict: good; not checked: key, qualifying_data, signer, selection, pcr_digest, "
            "clock, reset_count, restart_count, firmware\n");
  EXPECT_NE(
      out.str().find("qualifying_data: not checked: whether it answers a nonce; give --nonce"),
      std::string::npos);
}

TEST_F(InspectQuote, SaysTheSameInJson) {
  QuoteOptions options = all();
  options.json = true;
  ASSERT_EQ(run(options), Outcome::good);
  Json json = Json::parse(out.str());
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(json["verdict"], "good");
  EXPECT_EQ(json["checks"].size(), 13U);
  EXPECT_EQ(json["checks"][0]["code"], "magic");
  EXPECT_EQ(json["checks"][0]["verdict"], "good");
  EXPECT_EQ(json["attest"]["selection"], selection);
  EXPECT_EQ(json["attest"]["qualifying_data"], nonce);
  EXPECT_EQ(json["signature_form"], "TPMT_SIGNATURE");
  options.nonce = "00";
  ASSERT_EQ(run(options), Outcome::refused);
  json = Json::parse(out.str());
  EXPECT_EQ(json["verdict"], "refused");
  EXPECT_EQ(json["checks"][5]["code"], "qualifying_data");
  EXPECT_EQ(json["checks"][5]["verdict"], "refused");
  EXPECT_EQ(json["checks"][5]["sentence"], "expected 00, found " + std::string(nonce));
}

TEST_F(InspectQuote, WrongExpectationsAreRefused) {
  QuoteOptions options = all();
  options.selection = "sha256:0";
  EXPECT_EQ(run(options), Outcome::refused);
  options = all();
  write("others", "sha256:0=" + std::string(64, '1') + "\n");
  options.pcrs = attester->file("others");
  EXPECT_EQ(run(options), Outcome::refused);
  EXPECT_NE(out.str().find("PCR 7 of the bank sha256 is not known"), std::string::npos);
  EXPECT_TRUE(last_line().starts_with("verdict: refused; not checked: signer"));
}

TEST_F(InspectQuote, CommandLinesThatCannotBeMeantAreUsage) {
  QuoteOptions options = all();
  options.attest = "";
  EXPECT_EQ(run(options), Outcome::usage);
  EXPECT_EQ(err.str(),
            "countersign: a quote has three parts; give all of --attest, --signature and --key\n");
  options = all();
  options.nonce = "0g";
  EXPECT_EQ(run(options), Outcome::usage);
  options = all();
  options.selection = "sha256";
  EXPECT_EQ(run(options), Outcome::usage);
  options = all();
  options.attest = options.key = "-";
  EXPECT_EQ(run(options), Outcome::usage);
  EXPECT_EQ(out.str(), "");
}

TEST_F(InspectQuote, FilesThatAreNotWhatTheyShouldBeAreUnreadable) {
  write("truncated", text_of("attest").substr(0, 50));
  write("long", text_of("attest") + "x");
  write("huge", std::string(100000, 'x'));
  for (const std::string name : {"truncated", "long", "huge", "pcrs", "missing", ""}) {
    QuoteOptions options = all();
    for (std::string QuoteOptions::*file :
         {&QuoteOptions::attest, &QuoteOptions::signature, &QuoteOptions::key}) {
      options = all();
      options.*file = attester->file(name);
      EXPECT_EQ(run(options), Outcome::unreadable) << name;
      EXPECT_TRUE(err.str().starts_with("countersign: ")) << err.str();
      EXPECT_EQ(out.str(), "");
    }
    options.json = true;
    EXPECT_EQ(run(options), Outcome::unreadable);
    const Json json = Json::parse(out.str());
    EXPECT_EQ(json["complete"], false);
    EXPECT_TRUE(json["error"]["message"].is_string());
    EXPECT_FALSE(json.contains("verdict"));
  }
  QuoteOptions options = all();
  options.pcrs = attester->file("attest");
  EXPECT_EQ(run(options), Outcome::unreadable);
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  cs::test::require::programs({"swtpm", "tpm2_quote"});
  return RUN_ALL_TESTS();
}
