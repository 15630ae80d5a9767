// SPDX-License-Identifier: GPL-3.0-or-later
// Each check on a machine that is not fit: network, evidence, system; and how it is all told.
#include <gtest/gtest.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/unit/doctor_findings.h"
#include "tests/unit/fit_machine.h"

namespace cs::test {
namespace {

using doctor::Verdict;
using inspect::Outcome;

class DoctorSystem : public testing::Test, public FitMachine {
 protected:
  struct Told {
    Outcome outcome;
    std::string out;
    std::string err;
  };
  [[nodiscard]] Told tell(const doctor::Options& options) const {
    std::ostringstream out;
    std::ostringstream err;
    const Outcome outcome = doctor::run(options, machine, out, err);
    return {outcome, out.str(), err.str()};
  }
};

TEST_F(DoctorSystem, Forwarding) {
  tree.write("proc/sys/net/ipv4/ip_forward", "0\n");
  EXPECT_TRUE(
      is(look("forwarding"), Verdict::warning, "(IPv4)", "echo 1 > /proc/sys/net/ipv4/ip_forward"));
  tree.write("proc/sys/net/ipv6/conf/all/forwarding", "0\n");
  EXPECT_TRUE(is(look("forwarding"), Verdict::warning, "(IPv4, IPv6)",
                 "; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"));
}

TEST_F(DoctorSystem, AnMtuBelow1500) {
  add_interface("wan", "1492");
  EXPECT_TRUE(is(look("mtu"), Verdict::warning,
                 "wan takes 1492 bytes: with IPv6 inside a tunnel it leaves 156 bytes",
                 "ip link set dev wan mtu 1500"));
  add_interface("wan", "1300");
  EXPECT_TRUE(is(look("mtu"), Verdict::warning, "no room for a signature"));
  add_interface("wan", "1300", "0x1002");
  EXPECT_TRUE(is(look("mtu"), Verdict::good)) << "it is down";
}

TEST_F(DoctorSystem, PathsOfTheTunnels) {
  const std::string file = "etc/countersign/nfq-signer.toml";
  tree.write(file, "[[tunnel]]\npeer = \"198.51.100.1\"\ninner = [\"2001:db8:b::/64\"]\n");
  EXPECT_TRUE(is(look("paths"), Verdict::good, "1 configured"));
  machine.path_mtu = [](const net::Address&) { return Result<std::uint32_t>(1300); };
  EXPECT_TRUE(is(look("paths"), Verdict::warning, "198.51.100.1: "));
  machine.path_mtu = [](const net::Address&) -> Result<std::uint32_t> {
    return from_errno(ENETUNREACH, "asking for the route");
  };
  EXPECT_TRUE(is(look("paths"), Verdict::warning, "198.51.100.1: asking for the route"));
  tree.write(file, "[queue]\n");
  EXPECT_TRUE(is(look("paths"), Verdict::warning, "nfq-signer.toml", "", "man nfq-signer"));
}

TEST_F(DoctorSystem, StrongSwan) {
  programs["swanctl"].output = "strongSwan 6.0.1 swanctl\n";
  EXPECT_TRUE(is(look("strongswan"), Verdict::warning, "strongSwan 6.0.1: "));
  programs["swanctl"].output = "strongSwan swanctl\nstrongSwan ";
  programs["swanctl"].errors.clear();
  EXPECT_TRUE(is(look("strongswan"), Verdict::warning, "does not tell"));
  programs.erase("swanctl");
  EXPECT_TRUE(is(look("strongswan"), Verdict::warning, "not installed",
                 "apt-get install strongswan-swanctl"));
}

TEST_F(DoctorSystem, TheIkeDaemon) {
  tree.write("proc/net/unix", "Num RefCount Protocol Flags Type St Inode Path\n");
  EXPECT_TRUE(
      is(look("ike"), Verdict::warning, "no IKE daemon runs", "systemctl start strongswan"));
  add_process("12", "pluto");
  EXPECT_TRUE(is(look("ike"), Verdict::warning, "pluto runs", "", "strongSwan"));
}

TEST_F(DoctorSystem, Ports) {
  const std::string head =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
      "inode\n";
  tree.write("proc/thread-self/net/udp",
             head +
                 "  52: 00000000:01F4 00000000:0000 07 00000000:00000000 "
                 "00:00000000 00000000     0        0 4711 2 0 0\n");
  EXPECT_TRUE(
      is(look("ports"), Verdict::warning, "UDP 500 is taken by a process this one cannot see"));
  add_process("12", "racoon", "4711");
  EXPECT_TRUE(is(look("ports"), Verdict::warning, "UDP 500 is taken by racoon", "", "ss -ulpn"));
  tree.write("proc/12/comm", "charon-systemd\n");
  EXPECT_TRUE(is(look("ports"), Verdict::good));
  tree.write(
      "proc/thread-self/net/udp6",
      head +
          "  52: 00000000000000000000000000000000:1194 00000000000000000000000000000000:0000 07 "
          "00000000:00000000 00:00000000 00000000 0 0 13 2 0 0\n");
  EXPECT_TRUE(is(look("ports"), Verdict::warning, "UDP 4500 is taken"));
}

TEST_F(DoctorSystem, NoTpm) {
  std::filesystem::remove(tree.file("dev/tpmrm0"));
  EXPECT_TRUE(
      is(look("tpm"), Verdict::bad, "no TPM 2.0", "modprobe -a tpm_crb tpm_tis", "firmware"));
  tree.write("sys/class/tpm/tpm0/tpm_version_major", "1\n");
  EXPECT_TRUE(is(look("tpm"), Verdict::bad, "version 1.2"));
  tree.write("sys/class/tpm/tpm0/tpm_version_major", "2\n");
  tree.write("sys/class/tpmrm/tpmrm0/dev", "253:65536\n");
  EXPECT_TRUE(is(look("tpm"), Verdict::bad, "no /dev/tpmrm0 for it",
                 "mknod -m 660 /dev/tpmrm0 c 253 65536 && udevadm trigger --settle --action=add "
                 "--sysname-match=tpmrm0"));
  tree.write("sys/class/tpmrm/tpmrm0/dev", "253:0; reboot\n");
  EXPECT_EQ(look("tpm").command.find("reboot"), std::string::npos);
}

TEST_F(DoctorSystem, ATpmThatDoesNotAnswer) {
  machine.read_tpm = [] {
    return Result<tpm::Status>(Error(ErrorKind::timed_out, "opening the TPM"));
  };
  EXPECT_TRUE(is(look("tpm"), Verdict::bad, "opening the TPM"));
  for (const std::string_view code : {"pcr-bank", "lockout", "endorsement"}) {
    EXPECT_TRUE(is(look(code), Verdict::unchecked, "no TPM answers", "", "the check tpm")) << code;
  }
}

TEST_F(DoctorSystem, ATpmThatIsNotFit) {
  tpm.capabilities.banks = {tpm::HashAlgorithm::sha1};
  tpm.lockout.locked = true;
  tpm.endorsement.certificates.clear();
  EXPECT_TRUE(is(look("tpm"), Verdict::good, "IFX SLB9670"));
  EXPECT_TRUE(is(look("pcr-bank"), Verdict::bad, "no SHA-256", "tpm2_pcrallocate"));
  EXPECT_TRUE(
      is(look("lockout"), Verdict::bad, "locked", "tpm2_dictionarylockout --clear-lockout"));
  EXPECT_TRUE(is(look("endorsement"), Verdict::warning, "no endorsement certificate", "",
                 "tpm2_getekcertificate"));
}

TEST_F(DoctorSystem, LogsOfTheKernel) {
  const std::string ima = "sys/kernel/security/ima/ascii_runtime_measurements";
  tree.write(ima, "10 00 ima-ng sha256:00 boot_aggregate\n");
  EXPECT_TRUE(is(look("ima"), Verdict::bad, "no policy", "", "ima_policy=tcb ima_hash=sha256"));
  tree.write(ima, "10 00 ima-ng sha1:00 boot_aggregate\n10 00 ima-ng sha1:00 /init\n");
  EXPECT_TRUE(is(look("ima"), Verdict::warning, "SHA-256", "", "ima_hash=sha256"));
  std::filesystem::remove(tree.file(ima));
  EXPECT_TRUE(is(look("ima"), Verdict::bad, "no IMA", "", "CONFIG_IMA"));
  tree.write("sys/kernel/security/tpm0/binary_bios_measurements", "");
  EXPECT_TRUE(is(look("boot-log"), Verdict::bad, "no boot event log", "", "UEFI"));
  std::filesystem::remove_all(tree.file("sys/kernel/security"));
  for (const std::string_view code : {"ima", "boot-log"}) {
    EXPECT_TRUE(is(look(code), Verdict::bad, "not mounted",
                   "mount -t securityfs securityfs /sys/kernel/security"))
        << code;
  }
}

TEST_F(DoctorSystem, TheClock) {
  machine.is_clock_synchronised = [] { return Result<bool>(false); };
  EXPECT_TRUE(is(look("clock"), Verdict::warning, "nothing keeps the clock right",
                 "timedatectl set-ntp true"));
  clock.set_wall(WallTime(std::chrono::hours(1)));
  EXPECT_TRUE(is(look("clock"), Verdict::bad, "earlier time", "timedatectl"));
}

TEST_F(DoctorSystem, TheServices) {
  programs["systemctl"].output =
      unit_text("nfq-signer", "LoadState=loaded\nActiveState=failed\nLimitMEMLOCK=8388608\n");
  EXPECT_TRUE(
      is(look("signer"), Verdict::warning, "(failed)", "systemctl start nfq-signer", "journalctl"));
  EXPECT_TRUE(is(look("memlock"), Verdict::warning, "8388608", "", "LimitMEMLOCK"));
  programs["systemctl"].output =
      unit_text("nfq-signer", "LoadState=not-found\nActiveState=inactive\nLimitMEMLOCK=8388608\n");
  EXPECT_TRUE(is(look("signer"), Verdict::warning, "not installed", "", "OPERATIONS.md"));
  EXPECT_TRUE(is(look("memlock"), Verdict::good));
  programs["systemctl"] = {1, "", "Failed to connect to bus\nmore\n"};
  EXPECT_TRUE(is(look("signer"), Verdict::unchecked, "Failed to connect to bus"));
  std::filesystem::remove_all(tree.file("run/systemd"));
  EXPECT_TRUE(is(look("signer"), Verdict::unchecked, "systemd does not run"));
}

TEST_F(DoctorSystem, TheStateDirectory) {
  EXPECT_TRUE(is(look("state-directory"), Verdict::good, "not there yet"));
  const std::string path = tree.file("var/lib/countersign");
  tree.write("var/lib/countersign", "a file");
  EXPECT_TRUE(is(look("state-directory"), Verdict::bad, "no directory"));
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_TRUE(is(look("state-directory"), Verdict::good, "has room"));
  std::filesystem::permissions(path, std::filesystem::perms::others_write,
                               std::filesystem::perm_options::add);
  EXPECT_TRUE(
      is(look("state-directory"), Verdict::bad, "others than its owner", "chmod go-w " + path));
}

TEST_F(DoctorSystem, CodesAreStableWordsOfTheirOwn) {
  std::set<std::string_view> codes;
  for (const doctor::Check& check : doctor::all_checks()) {
    EXPECT_TRUE(codes.insert(check.code).second) << check.code;
    EXPECT_EQ(check.code.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"),
              std::string_view::npos);
  }
}

TEST_F(DoctorSystem, TellsThatItCanBeAGateway) {
  const Told told = tell({});
  EXPECT_EQ(told.outcome, Outcome::good);
  EXPECT_TRUE(told.out.ends_with("\nthis machine can be a gateway; 0 warnings\n")) << told.out;
  add_interface("wan", "1400");
  EXPECT_TRUE(tell({}).out.ends_with("\nthis machine can be a gateway; 1 warning\n"));
}

TEST_F(DoctorSystem, TellsThatItCannotAndWhatMendsIt) {
  tree.write("proc/sys/net/ipv4/conf/wan/disable_xfrm", "1\n");
  const Told told = tell({});
  EXPECT_EQ(told.outcome, Outcome::refused);
  EXPECT_NE(told.out.find("bad        switches        switches that turn IPsec off: "),
            std::string::npos)
      << told.out;
  EXPECT_NE(told.out.find("  mend: echo 0 > /proc/sys/net/ipv4/conf/wan/disable_xfrm\n"),
            std::string::npos);
  EXPECT_TRUE(
      told.out.ends_with("\nthis machine cannot be a gateway: 1 thing to mend, 0 warnings\n"))
      << told.out;
}

TEST_F(DoctorSystem, TellsThatNobodyKnows) {
  machine.try_sa = [](doctor::SaQuestion) { return Result<void>(from_errno(EPERM, "asking")); };
  const Told told = tell({});
  EXPECT_EQ(told.outcome, Outcome::unreadable);
  EXPECT_NE(told.out.find(
                "nobody knows whether this machine can be a gateway: 5 checks could not be made"),
            std::string::npos)
      << told.out;
  const auto json = nlohmann::json::parse(tell({.only = {}, .json = true}).out);
  EXPECT_TRUE(json["can_be_a_gateway"].is_null());
  EXPECT_EQ(json["complete"], false);
  std::filesystem::remove_all(tree.file("run/systemd"));
  EXPECT_EQ(tell({.only = {"signer"}}).outcome, Outcome::good) << "it decides nothing";
  tree.write("proc/sys/net/ipv4/conf/wan/disable_xfrm", "1\n");
  EXPECT_EQ(tell({}).outcome, Outcome::refused) << "what is bad is so whatever else is";
}

TEST_F(DoctorSystem, OnlyWhatIsAskedFor) {
  add_interface("wan", "1400");
  const Told told = tell({.only = {"mtu", "tpm"}, .json = true});
  const auto json = nlohmann::json::parse(told.out);
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(json["can_be_a_gateway"], true);
  ASSERT_EQ(json["checks"].size(), 2U);
  EXPECT_EQ(json["checks"][0]["code"], "mtu");
  EXPECT_EQ(json["checks"][0]["verdict"], "warning");
  EXPECT_EQ(json["checks"][0]["command"], "ip link set dev wan mtu 1500");
  EXPECT_EQ(json["checks"][1]["verdict"], "good");
  EXPECT_NE(tell({.only = {"tpm"}}).out.find("as far as this was asked"), std::string::npos);
  const Told wrong = tell({.only = {"nonsense"}});
  EXPECT_EQ(wrong.outcome, Outcome::usage);
  EXPECT_NE(wrong.err.find("there is no check 'nonsense'"), std::string::npos);
}

}  // namespace
}  // namespace cs::test
