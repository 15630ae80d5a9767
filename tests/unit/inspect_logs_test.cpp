// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign inspect bootlog` and `inspect ima`, but for their command line.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tests/unit/boot_logs.h"
#include "tests/unit/ima_lists.h"
#include "tests/unit/temporary_directory.h"
#include "tools/inspect/bootlog.h"
#include "tools/inspect/ima.h"

namespace {

using cs::inspect::Outcome;
using cs::test::Bytes;
using cs::test::get;
using Json = nlohmann::json;
using Type = cs::tpm::BootEventType;

std::string text_of(const Bytes& bytes) {
  return {bytes.begin(), bytes.end()};
}

class InspectLogs : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& content) {
    directory.write(name, content);
    return directory.file(name);
  }
  Outcome bootlog(const std::string& log, const std::string& pcrs, bool json) {
    out.str("");
    err.str("");
    return cs::inspect::inspect_bootlog({log, pcrs, json}, out, err);
  }
  Outcome ima(const std::string& list, const std::string& pcrs, bool json) {
    out.str("");
    err.str("");
    return cs::inspect::inspect_ima({list, pcrs, json}, out, err);
  }
  Json json() { return Json::parse(out.str()); }
  std::string last_line() {
    const std::string text = out.str();
    return text.substr(text.rfind('\n', text.size() - 2) + 1);
  }
  bool says(std::string_view part) { return out.str().find(part) != std::string::npos; }

  cs::test::TemporaryDirectory directory;
  std::ostringstream out;
  std::ostringstream err;
};

TEST_F(InspectLogs, ABootLogThatReplaysIsGood) {
  const auto made = cs::test::small_boot_log();
  const std::string log = file("log", text_of(made.bytes));
  const std::string values = get(cs::tpm::replay_boot_log(made.bytes)).values.text();
  const std::string pcrs = file("pcrs", values);

  EXPECT_EQ(bootlog(log, "", false), Outcome::good);
  EXPECT_TRUE(says("    2  PCR 4  EV_EFI_ACTION"));
  EXPECT_TRUE(says("    0  PCR -  EV_NO_ACTION"));
  EXPECT_TRUE(says(values));
  EXPECT_EQ(last_line(), "verdict: unchecked, 6 events, and no PCR values to hold them against\n");
  EXPECT_EQ(bootlog(log, pcrs, false), Outcome::good);
  EXPECT_EQ(last_line(), "verdict: good, 6 events replay to all of the 6 PCR values\n");

  EXPECT_EQ(bootlog(log, pcrs, true), Outcome::good);
  const Json report = json();
  EXPECT_EQ(report["schema_version"], 1);
  EXPECT_EQ(report["complete"], true);
  EXPECT_EQ(report["events"], 6);
  EXPECT_EQ(report["form"], "crypto-agile");
  EXPECT_EQ(report["banks"]["sha256"].size(), 3U);
  EXPECT_NE(values.find("sha256:7=" + report["banks"]["sha256"]["7"].get<std::string>()),
            std::string::npos);
  EXPECT_EQ(report["verdict"], "good");
  EXPECT_EQ(report["pcrs"].size(), 6U);
  EXPECT_EQ(err.str(), "");
}

TEST_F(InspectLogs, APcrThatDoesNotReplayIsNamedWithItsEvent) {
  auto made = cs::test::small_boot_log();
  const std::string pcrs = file("pcrs", get(cs::tpm::replay_boot_log(made.bytes)).values.text());
  made.add(7, Type::efi_action, cs::test::bytes_of("x"), cs::test::bytes_of("y"));
  const std::string log = file("log", text_of(made.bytes));

  EXPECT_EQ(bootlog(log, pcrs, false), Outcome::refused);
  EXPECT_TRUE(says("sha256:7 differs: it is what the log makes of it before event 6"));
  EXPECT_TRUE(says("  (not of its data)\n"));
  EXPECT_TRUE(says("the data of 1 events"));
  EXPECT_EQ(last_line(), "verdict: refused, 7 events do not replay to 2 of the 6 PCR values\n");

  EXPECT_EQ(bootlog(log, pcrs, true), Outcome::refused);
  const Json report = json();
  EXPECT_EQ(report["verdict"], "refused");
  EXPECT_EQ(report["unbound_events"], Json({6}));
  std::size_t wrong = 0;
  for (const auto& pcr : report["pcrs"]) {
    if (pcr["matches"] == true) continue;
    ++wrong;
    EXPECT_EQ(pcr["pcr"], 7);
    EXPECT_EQ(pcr["cause"], "log_goes_on");
    EXPECT_EQ(pcr["from_event"], 6);
  }
  EXPECT_EQ(wrong, 2U);
  EXPECT_EQ(bootlog(log, file("more", "sha256:10=" + std::string(64, 'a')), true),
            Outcome::refused);
  EXPECT_TRUE(json()["pcrs"][0]["from_event"].is_null());
}

TEST_F(InspectLogs, ALogThatBreaksOffIsNoResult) {
  auto bytes = cs::test::small_boot_log().bytes;
  bytes.pop_back();
  const std::string log = file("log", text_of(bytes));
  EXPECT_EQ(bootlog(log, "", true), Outcome::unreadable);
  EXPECT_EQ(json()["complete"], false);
  EXPECT_FALSE(json().contains("banks"));
  EXPECT_NE(err.str().find("countersign: " + log + ": reading event 5 of the boot log: at offset"),
            std::string::npos)
      << err.str();
  EXPECT_EQ(bootlog(log, "", false), Outcome::unreadable);
  EXPECT_EQ(out.str(), "");

  auto list = cs::test::full_ima_list().binary;
  list.pop_back();
  EXPECT_EQ(ima(file("list", text_of(list)), "", true), Outcome::unreadable);
  EXPECT_EQ(json()["complete"], false);
  EXPECT_NE(err.str().find("entry 11 at offset"), std::string::npos) << err.str();
}

TEST_F(InspectLogs, FilesThatAreNotThereAreSaidSo) {
  const std::string log = file("log", text_of(cs::test::small_boot_log().bytes));
  EXPECT_EQ(bootlog(directory.file("none"), "", false), Outcome::unreadable);
  EXPECT_EQ(bootlog(log, directory.file("none"), false), Outcome::unreadable);
  EXPECT_EQ(bootlog(log, file("empty", "# nothing\n"), false), Outcome::unreadable);
  EXPECT_NE(err.str().find("it states no PCR"), std::string::npos);
  EXPECT_EQ(bootlog("", "", false), Outcome::usage);
  EXPECT_EQ(bootlog("-", "-", false), Outcome::usage);
  EXPECT_EQ(ima(directory.file("none"), "", false), Outcome::unreadable);
  EXPECT_EQ(ima(directory.path(), "", false), Outcome::unreadable);
  EXPECT_EQ(ima("-", "-", false), Outcome::usage);
}

TEST_F(InspectLogs, AnImaListThatReplaysIsGood) {
  const auto made = cs::test::full_ima_list();
  const std::string list = file("list", text_of(made.binary));
  EXPECT_EQ(ima(list, "", true), Outcome::good);
  const Json first = json();
  EXPECT_EQ(first["schema_version"], 1);
  EXPECT_EQ(first["complete"], true);
  EXPECT_EQ(first["entries"], 12);
  EXPECT_EQ(first["violations"], 1);
  EXPECT_EQ(first["templates"]["ima-sig"], 2);
  EXPECT_EQ(first["form"], "binary");
  EXPECT_EQ(first["listed"], "sha1");
  const std::string sha256 = first["banks"]["sha256"]["10"];
  const std::string padded = first["padded_banks"]["sha256"]["10"];
  EXPECT_NE(sha256, padded);

  EXPECT_EQ(ima(file("text", made.text), file("pcrs", "sha256:10=" + sha256), false),
            Outcome::good);
  EXPECT_TRUE(says("text, with template hashes of sha1\n"));
  EXPECT_TRUE(says("violations: 1\n"));
  EXPECT_TRUE(says("sha256:10 is what the first 11 entries make; it does not vouch for the 1 "));
  EXPECT_EQ(last_line(), "verdict: good, 12 entries replay to all of the 1 PCR values\n");
  EXPECT_EQ(ima(list, file("old", "sha256:10=" + padded), true), Outcome::good);
  EXPECT_EQ(json()["pcrs"][0]["rule"], "padded");
  EXPECT_EQ(json()["pcrs"][0]["entries"], 11);
}

TEST_F(InspectLogs, AnImaListThatDoesNotReplayIsRefused) {
  auto made = cs::test::full_ima_list();
  const std::string list = file("list", text_of(made.binary));
  const std::string pcrs =
      file("pcrs", "sha256:10=" + std::string(64, '0') + "\nsha384:10=" + std::string(96, 'b'));
  EXPECT_EQ(ima(list, pcrs, true), Outcome::refused);
  EXPECT_EQ(json()["verdict"], "refused");
  EXPECT_EQ(json()["pcrs"].size(), 2U);
  EXPECT_TRUE(json()["banks"].contains("sha384"));
  EXPECT_EQ(ima(list, pcrs, false), Outcome::refused);
  EXPECT_EQ(last_line(), "verdict: refused, 12 entries do not replay to 2 of the 2 PCR values\n");

  made.binary[made.borders[2] + 60] ^= 1;
  EXPECT_EQ(ima(file("changed", text_of(made.binary)), "", true), Outcome::refused);
  EXPECT_EQ(json()["complete"], false);
  EXPECT_EQ(json()["error"]["kind"], "unverified");
}

TEST_F(InspectLogs, HostileTemplateNamesDoNotFillTheMemory) {
  cs::test::ImaListMaker list;
  std::string form = "sig";
  std::vector<cs::test::ImaPart> parts{cs::test::ima_hex_part({})};
  for (int i = 0; i < 14; ++i) {
    for (const std::string& name : {form + "|sig", form + "|buf", form + "|modsig"}) {
      auto more = parts;
      more.push_back(cs::test::ima_hex_part({}));
      list.add(name, more);
    }
    form += "|sig";
    parts.push_back(cs::test::ima_hex_part({}));
  }
  EXPECT_EQ(ima(file("list", text_of(list.binary)), "", true), Outcome::good);
  EXPECT_EQ(json()["templates"].size(), 33U);
  EXPECT_EQ(json()["templates"]["others"], 42 - 32);
}

}  // namespace
