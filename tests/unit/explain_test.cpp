// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/explain.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

namespace {

using cs::keyms::Appraisal;
using cs::keyms::criteria;
using cs::keyms::Criterion;
using cs::keyms::explain;
using cs::keyms::explain_json;
using cs::keyms::Severity;

const cs::WallTime when = cs::from_time_t(1'700'000'000);

Appraisal good() {
  Appraisal found;
  for (const auto& text : criteria()) found.holds(text.criterion, "it is");
  return found;
}

TEST(Explain, TellsWhatGrants) {
  EXPECT_EQ(explain(good(), "hamburg-1", when),
            "hamburg-1 is granted: it is what the policy says\njudged at 2023-11-14T22:13:20Z\n");
}

TEST(Explain, TellsWhatFailedWhereAndWhatToDo) {
  Appraisal found = good();
  found.fails(Criterion::core_properties, "expected 00, found 01", "static log, record 2");
  found.not_checked(Criterion::ima_log, "PCR 10 is not quoted");
  found.fails(Criterion::restart_count, "expected restartCount 1, found 2");
  EXPECT_EQ(explain(found, "hamburg-1", when),
            "hamburg-1 is refused: core_properties\n"
            "judged at 2023-11-14T22:13:20Z\n"
            "  core_properties\n"
            "    static log, record 2: expected 00, found 01\n"
            "    The agreed policy is not in force there.\n"
            "    to do: hamburg-1's operator applies it: `countersign policy apply`\n"
            "not checked, which grants nothing:\n"
            "  ima_log: PCR 10 is not quoted\n"
            "worth knowing:\n"
            "  restart_count\n"
            "    expected restartCount 1, found 2\n"
            "    It was suspended, and has resumed, since the last time.\n"
            "    to do: nothing, if hamburg-1 is meant to sleep\n");
  found.fails(Criterion::quote_signature, "no");
  EXPECT_TRUE(explain(found, "x", when).starts_with("x is refused: quote_signature (and 1 more)"));
}

TEST(Explain, NothingIsGrantedByWhatIsMissing) {
  EXPECT_TRUE(explain({}, "x", when).starts_with("x is not granted yet"));
}

TEST(Explain, TellsProgramsEveryCheck) {
  Appraisal found = good();
  found.fails(Criterion::ima_file, "/tmp/\xff\x1b\"x\n", "/tmp/\xc3");
  const auto json = nlohmann::json::parse(explain_json(found, "hamburg-1", when));
  EXPECT_EQ(json["verdict"], "refused");
  EXPECT_EQ(json["reason"], "ima_file");
  ASSERT_EQ(json["checks"].size(), criteria().size());
  for (std::size_t i = 0; i < criteria().size(); ++i) {
    const auto& check = json["checks"][i];
    EXPECT_EQ(check["code"], criteria().at(i).code);
    EXPECT_EQ(check["result"], check["code"] == "ima_file" ? "refused" : "good");
    EXPECT_EQ(check.contains("hint"), check["code"] == "ima_file");
  }
  const auto& file = json["checks"][static_cast<std::size_t>(Criterion::ima_file)];
  EXPECT_EQ(file["sentence"], "/tmp/\\xff\\x1b\"x\\x0a");
  EXPECT_EQ(file["where"], "/tmp/\\xc3");
  const auto granted = nlohmann::json::parse(explain_json(good(), "x", when));
  EXPECT_EQ(granted["verdict"], "granted");
  EXPECT_TRUE(granted["reason"].is_null());
}

TEST(Criteria, EachHasItsCodeItsSentenceAndItsHint) {
  std::set<std::string_view> codes;
  for (const auto& text : criteria()) {
    EXPECT_TRUE(std::regex_match(std::string(text.code), std::regex("[a-z][a-z0-9_]{1,47}")));
    EXPECT_TRUE(codes.insert(text.code).second) << text.code;
    EXPECT_TRUE(text.wrong.ends_with('.')) << text.code;
    EXPECT_FALSE(text.hint.empty() || text.hint.ends_with('.')) << text.code;
    EXPECT_EQ(text_of(text.criterion).code, text.code);
  }
}

// docs/PROTOCOL.md, "The verifier": the same codes in the same order, with the same severity.
TEST(Criteria, AreThoseOfTheDocument) {
  std::ifstream file(CS_PROTOCOL_DOCUMENT);
  std::stringstream text;
  text << file.rdbuf();
  const std::string whole = text.str();
  const std::string section = whole.substr(whole.find("\n## The verifier\n"));
  const std::regex row(R"(\n\| `([a-z0-9_]+)` \| (refuse|note) \| ([^|\n]+) \|)");
  std::vector<std::pair<std::string, std::string>> documented;
  for (std::sregex_iterator at(section.begin(), section.end(), row), end; at != end; ++at) {
    documented.emplace_back((*at)[1], (*at)[2]);
  }
  std::vector<std::pair<std::string, std::string>> known;
  for (const auto& criterion : criteria()) {
    known.emplace_back(criterion.code, criterion.severity == Severity::refuse ? "refuse" : "note");
  }
  EXPECT_EQ(documented, known);
}

}  // namespace
