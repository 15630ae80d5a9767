// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "keyms/daemon/config.h"
#include "keyms/daemon/config_watch.h"
#include "tests/support/manual_clock.h"
#include "tests/support/scratch.h"
#include "tests/support/unwrap.h"

namespace cs::keyms {
namespace {

using test::get;

DaemonConfig parse(const std::string& text) {
  return get(parse_daemon_config(text, "f"));
}
std::string refusal(const std::string& text) {
  const auto parsed = parse_daemon_config(text, "f");
  return parsed.ok() ? "" : parsed.error().message();
}
std::string read(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(DaemonConfig, TheSampleSaysWhatHoldsWithoutIt) {
  const std::string sample = read(CS_SAMPLE);
  EXPECT_TRUE(parse(sample) == parse(""));
  // Fields that have no value to begin with stand there as a comment.
  const std::string all = std::regex_replace(sample, std::regex("\n# (?=[a-z_]+ = )"), "\n");
  EXPECT_EQ(refusal(all), "");
  std::set<std::string> told;
  std::string section;
  std::istringstream lines(all);
  const std::regex field("([a-z_]+) = .*");
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (line.starts_with('[')) section = line.substr(1, line.find(']') - 1);
    if (std::regex_match(line, match, field)) told.insert(section + "." + match[1].str());
  }
  EXPECT_EQ(told, daemon_config_fields());
  EXPECT_TRUE(told.contains("kernel.held_queue"));
}

TEST(DaemonConfig, TakesWhatEachSectionSays) {
  const DaemonConfig config = parse(R"(
[tpm]
tcti = "swtpm:path=/x"
owner_auth = "/o"
endorsement_auth = "/e"
boot_registers = "sha256:0,7+sha1:1"
static_pcr = 14
event_register = "pcr:11"
explained_events = ["sha256:00000000000000000000000000000000000000000000000000000000000000ff systemd"]
boot_log = "/b"
ima_log = "/i"
[state]
directory = "/s"
approver = "/a.pem"
[trust]
vendor_roots = "/v"
digest_lists = "/d"
[network]
listen = ["192.0.2.1:4739", "[2001:db8::1]:99"]
carrier = ""
carrier_user = "net"
carrier_socket = "/c"
carrier_socket_user = "charon"
[sockets]
control = "/control"
signer = "/signer"
signer_user = "nfq"
[kernel]
enabled = false
gate = "iptables"
udp_ports = [4500, 4501]
translator_port = 4510
held_queue = 300
audit_seconds = 5
vici = ""
)");
  DaemonConfig wanted;
  wanted.tcti = "swtpm:path=/x";
  wanted.owner_auth = "/o";
  wanted.endorsement_auth = "/e";
  wanted.boot_registers = get(tpm::PcrSelection::parse("sha256:0,7+sha1:1"));
  wanted.static_pcr = 14;
  wanted.event_register.number = 11;
  tpm::Digest digest(tpm::HashAlgorithm::sha256);
  digest.bytes().back() = 0xff;
  wanted.explained_events = {{"systemd", {digest}}};
  wanted.boot_log = "/b";
  wanted.ima_log = "/i";
  wanted.state_directory = "/s";
  wanted.approver = "/a.pem";
  wanted.vendor_roots = "/v";
  wanted.digest_lists = "/d";
  wanted.listen = {{get(net::Address::parse("192.0.2.1")), 4739},
                   {get(net::Address::parse("2001:db8::1")), 99}};
  wanted.carrier.clear();
  wanted.carrier_user = "net";
  wanted.carrier_socket = "/c";
  wanted.carrier_socket_user = "charon";
  wanted.control_socket = "/control";
  wanted.signer_socket = "/signer";
  wanted.signer_user = "nfq";
  wanted.kernel = false;
  wanted.gate = xfrm::GateKind::iptables;
  wanted.udp_ports = {4500, 4501};
  wanted.translator_port = 4510;
  wanted.held_queue = 300;
  wanted.audit_seconds = 5;
  wanted.vici.clear();
  EXPECT_TRUE(config == wanted);
  EXPECT_EQ(config.store(), "/s/store.db");
}

TEST(DaemonConfig, SaysWhereAFieldIsWrongAndWhatWasMeant) {
  const auto holds = [](const std::string& text, const std::string& part) {
    EXPECT_NE(refusal(text).find(part), std::string::npos) << text << "\n" << refusal(text);
  };
  holds("[tmp]\n", "f:1:2: no section is called [tmp]; did you mean \"tpm\"?");
  holds("tpm = 1\n", "no section is called [tpm]");
  holds("[tpm]\nstatic_prc = 15\n",
        "f:2:1: no field is called \"tpm.static_prc\"; did you mean \"static_pcr\"? the installed "
        "sample, examples/keymsd.toml, lists them");
  holds("[kernel]\nheld_qeue = 1\n", "did you mean \"held_queue\"?");
  for (const char* bad :
       {"[tpm]\nstatic_pcr = 24", "[tpm]\ntcti = \"\"", "[tpm]\nboot_registers = \"sha7:1\"",
        "[tpm]\nevent_register = \"13\"", "[tpm]\nresettable = 1",
        "[tpm]\nexplained_static = [\"sha256:00 short\"]", "[tpm]\nexplained_static = [\"x\"]",
        "[state]\ndirectory = \"\"", "[trust]\nvendor_roots = 7", "[network]\nlisten = [\"here\"]",
        "[sockets]\nsigner_user = \"\"", "[kernel]\ngate = \"nfs\"", "[kernel]\nudp_ports = [0]",
        "[kernel]\nudp_ports = [65536]", "[kernel]\naudit_seconds = 0",
        "[kernel]\naudit_seconds = 3601", "[kernel]\nheld_queue = 65536",
        "[kernel]\ntranslator_port = -1"}) {
    holds(bad, "f:2:");
  }
  holds("[sockets]\ncontrol = \"" + std::string(108, 'x') + "\"", "a text of 1 to 107 bytes");
  holds("[tpm]\nstatic_pcr = 7", "it is the firmware's");
  holds("[tpm]\nstatic_pcr = 16", "root can reset it");
  EXPECT_EQ(refusal("[tpm]\nstatic_pcr = 16\nresettable = true"), "");
  holds("[tpm]\nevent_register = \"pcr:15\"", "it is the static register already");
  holds("[tpm]\nevent_register = \"nv:0x1d10300\"", "needs tpm.owner_auth");
  EXPECT_EQ(refusal("[tpm]\nevent_register = \"nv:0x1d10300\"\nowner_auth = \"/o\""), "");
  holds("[tpm]\nevent_register = \"nv:0x1d10001\"", "none of ours");
  holds("[tpm]\nboot_registers = \"sha256:0,10\"", "tpm.boot_registers: sealing to PCR 10");
}

TEST(DaemonConfig, WhatIsMeasuredChangesWithWhatDecides) {
  const Hash before = configuration_digest(parse(""));
  EXPECT_EQ(configuration_digest(parse("# nothing\n[kernel]\naudit_seconds = 60\n")), before);
  EXPECT_EQ(configuration_digest(parse("[state]\ndirectory = \"/elsewhere\"\n")), before);
  for (const char* change : {"[tpm]\nboot_registers = \"sha256:0\"", "[tpm]\nstatic_pcr = 14",
                             "[tpm]\nevent_register = \"pcr:11\"", "[tpm]\nresettable = true",
                             "[kernel]\nenabled = false", "[kernel]\nudp_ports = []",
                             "[kernel]\ntranslator_port = 1", "[kernel]\naudit_seconds = 61"}) {
    EXPECT_NE(configuration_digest(parse(change)), before) << change;
  }
}

TEST(ConfigWatch, TellsOnceWhatWouldKeepTheStoreClosed) {
  const test::Scratch scratch = get(test::Scratch::create());
  const std::string path = scratch.file("keymsd.toml");
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  test::ManualClock clock;
  ConfigWatch watch(path, configuration_digest(parse("[kernel]\naudit_seconds = 30\n")), clock);
  const auto look = [&] {
    clock.advance(ConfigWatch::looks_every);
    const bool others = watch.look();
    EXPECT_FALSE(watch.look());  // not yet again
    return others;
  };
  write("[kernel]\naudit_seconds = 30 # seconds\n[network]\ncarrier = \"\"\n");
  EXPECT_FALSE(look());
  EXPECT_EQ(watch.found().words, "");
  write("[kernel]\naudit_seconds = 31\n");
  EXPECT_TRUE(look());
  EXPECT_EQ(watch.found().words,
            path + " was edited since keymsd began: its store will not open after the next boot");
  EXPECT_FALSE(look());
  write("[kernel]\naudit_secs = 31\n");
  EXPECT_TRUE(look());
  EXPECT_TRUE(watch.found().words.starts_with("keymsd will not start again: " + path + ":2:1: "))
      << watch.found().words;
  EXPECT_EQ(watch.found().mend, "mend " + path);
  std::filesystem::remove(path);
  EXPECT_TRUE(look());
  EXPECT_TRUE(watch.found().words.starts_with("keymsd will not start again: "))
      << watch.found().words;
  write("[kernel]\naudit_seconds = 30\n");
  EXPECT_TRUE(look());
  EXPECT_EQ(watch.found().words, "");
}

}  // namespace
}  // namespace cs::keyms
