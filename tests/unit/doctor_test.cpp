// SPDX-License-Identifier: GPL-3.0-or-later
// Each check on a machine that is fit, and on one that is not: kernel, packets, firewall.
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/unit/doctor_findings.h"
#include "tests/unit/fit_machine.h"

namespace cs::test {
namespace {

using doctor::Finding;
using doctor::SaKind;
using doctor::SaQuestion;
using doctor::Verdict;

class Doctor : public testing::Test, public FitMachine {
 protected:
  // The kernel refuses the SAs of these kinds.
  void refuse(std::initializer_list<SaKind> kinds, int number) {
    machine.try_sa = [kinds = std::vector<SaKind>(kinds),
                      number](SaQuestion question) -> Result<void> {
      for (const SaKind kind : kinds) {
        if (question.kind == kind) return from_errno(number, "making an SA");
      }
      return {};
    };
  }
  void set_ruleset(const std::string& entries) {
    programs["nft"].output = R"({"nftables":[{"metainfo":{}},)" + entries + "]}";
  }
};

TEST_F(Doctor, AFitMachineIsGoodInEveryCheck) {
  for (const doctor::Check& check : doctor::all_checks()) {
    EXPECT_TRUE(is(check.look(machine), Verdict::good)) << check.code;
  }
}

TEST_F(Doctor, WithoutPrivilegesItDoesNotJudge) {
  tree.write("proc/self/status", "CapEff:\t0000000000000000\n");
  machine.try_sa = [](SaQuestion) { return Result<void>(from_errno(EPERM, "asking")); };
  machine.try_nfqueue = [] { return Result<void>(from_errno(EPERM, "asking")); };
  machine.try_rules = [](RuleKind) { return Result<void>(from_errno(EPERM, "asking")); };
  machine.read_tpm = [] { return Result<tpm::Status>(from_errno(EACCES, "asking")); };
  machine.find_offloads = [] {
    return Result<std::vector<OffloadFinding>>(from_errno(EPERM, "asking"));
  };
  programs["nft"] = {1, "", "Operation not permitted (you must be root)\n"};
  for (const std::string_view code :
       {"privileges", "esp", "esp-ipv6", "ah", "ah-ipv6", "algorithms", "offload", "nfqueue",
        "steering", "egress-guard", "defragmentation", "firewall", "tpm", "pcr-bank", "lockout",
        "endorsement"}) {
    const Finding found = look(code);
    EXPECT_TRUE(is(found, Verdict::unchecked)) << code;
    EXPECT_EQ(found.advice, "ask again as root") << code;
  }
}

TEST_F(Doctor, AKernelWithoutXfrm) {
  machine.read_defaults = [] {
    return Result<std::optional<xfrm::Defaults>>(from_errno(EPROTONOSUPPORT, "opening a socket"));
  };
  EXPECT_TRUE(is(look("xfrm"), Verdict::bad, "opening a socket", "", "CONFIG_XFRM_USER"));
  EXPECT_TRUE(is(look("default-policy"), Verdict::unchecked));
}

TEST_F(Doctor, AKernelWithoutEsp) {
  refuse({SaKind::esp_gcm, SaKind::esp_cbc_sha256}, EPROTONOSUPPORT);
  EXPECT_TRUE(is(look("esp"), Verdict::bad, "does not have it", "", "CONFIG_INET_ESP"));
  EXPECT_TRUE(is(look("esp-ipv6"), Verdict::bad, "does not have it", "", "CONFIG_INET6_ESP"));
  EXPECT_TRUE(is(look("ah"), Verdict::good));
  EXPECT_TRUE(is(look("algorithms"), Verdict::good))
      << "they were found before the protocol was not";
}

TEST_F(Doctor, AModuleThatIsThereIsLoaded) {
  refuse({SaKind::esp_gcm, SaKind::esp_cbc_sha256}, EPROTONOSUPPORT);
  add_module("ipv4/esp4");
  EXPECT_TRUE(is(look("esp"), Verdict::bad, "", "modprobe esp4"));
  EXPECT_TRUE(is(look("esp-ipv6"), Verdict::bad, "", "", "CONFIG_INET6_ESP")) << "esp6 is another";
}

TEST_F(Doctor, WhatKeepsAModuleFromLoadingIsNamed) {
  refuse({SaKind::esp_gcm, SaKind::esp_cbc_sha256}, EPROTONOSUPPORT);
  add_module("ipv4/esp4");
  tree.write("etc/modprobe.d/a.conf", "# blacklist esp4\nblacklist esp4_offload\n");
  EXPECT_EQ(look("esp").command, "modprobe esp4");
  tree.write("etc/modprobe.d/b.conf", "  install  esp4 /bin/false\n");
  EXPECT_TRUE(
      is(look("esp"), Verdict::bad, "/etc/modprobe.d/b.conf",
         "sed -i -E '/^ *(blacklist|install) +esp4( |$)/d' /etc/modprobe.d/b.conf; modprobe esp4"));
}

TEST_F(Doctor, WithoutIpv6ItNeedsNone) {
  refuse({SaKind::esp_gcm, SaKind::esp_cbc_sha256, SaKind::ah_sha256}, EAFNOSUPPORT);
  std::filesystem::remove(tree.file("proc/net/if_inet6"));
  EXPECT_TRUE(is(look("esp-ipv6"), Verdict::good, "no IPv6"));
  EXPECT_TRUE(is(look("ah-ipv6"), Verdict::good, "no IPv6"));
}

TEST_F(Doctor, AKernelWithoutAh) {
  refuse({SaKind::ah_sha256}, EPROTONOSUPPORT);
  EXPECT_TRUE(is(look("ah"), Verdict::warning, "does not have it", "", "CONFIG_INET_AH"));
  EXPECT_TRUE(is(look("ah-ipv6"), Verdict::warning, "does not have it", "", "CONFIG_INET6_AH"));
}

TEST_F(Doctor, OneAlgorithmLess) {
  refuse({SaKind::esp_gcm}, ENOSYS);
  EXPECT_TRUE(is(look("algorithms"), Verdict::warning, "no AES-GCM", "", "CONFIG_CRYPTO_GCM"));
  EXPECT_TRUE(is(look("esp"), Verdict::good)) << "the other one shows it";
  refuse({SaKind::esp_cbc_sha256}, ENOENT);
  EXPECT_TRUE(is(look("algorithms"), Verdict::warning, "no AES-CBC"));
}

TEST_F(Doctor, NoAlgorithm) {
  refuse({SaKind::esp_gcm, SaKind::esp_cbc_sha256}, ENOSYS);
  EXPECT_TRUE(is(look("algorithms"), Verdict::bad, "no AES-GCM, nor AES-CBC"));
  EXPECT_TRUE(is(look("esp"), Verdict::unchecked, "none of the algorithms"));
}

TEST_F(Doctor, ADefaultPolicyThatBlocks) {
  machine.read_defaults = [] {
    return Result<std::optional<xfrm::Defaults>>(xfrm::Defaults{.forward = xfrm::Action::block});
  };
  EXPECT_TRUE(is(look("default-policy"), Verdict::warning, "in accept, forward block, out accept",
                 "ip xfrm policy setdefault in accept fwd accept out accept"));
}

TEST_F(Doctor, SwitchesThatTurnIpsecOff) {
  tree.write("proc/sys/net/ipv4/conf/wan/disable_xfrm", "1\n");
  EXPECT_TRUE(is(look("switches"), Verdict::bad, "wan/disable_xfrm is 1: packets leave in clear",
                 "echo 0 > /proc/sys/net/ipv4/conf/wan/disable_xfrm"));
  tree.write("proc/sys/net/ipv6/conf/wan/disable_policy", "1\n");
  EXPECT_TRUE(is(look("switches"), Verdict::bad, "packets in clear are taken",
                 "; echo 0 > /proc/sys/net/ipv6/conf/wan/disable_policy"));
}

TEST_F(Doctor, ANameIsOneWordOfTheCure) {
  add_interface("w;reboot'", "1500");
  tree.write("proc/sys/net/ipv4/conf/w;reboot'/disable_policy", "1\n");
  EXPECT_EQ(look("switches").command,
            R"(echo 0 > '/proc/sys/net/ipv4/conf/w;reboot'\''/disable_policy')");
}

TEST_F(Doctor, Offload) {
  using Kind = OffloadFinding::Kind;
  std::vector<OffloadFinding> offloads{{Kind::module, "esp4_offload", "it is loaded", "in words"}};
  machine.find_offloads = [&] { return Result<std::vector<OffloadFinding>>(offloads); };
  EXPECT_TRUE(
      is(look("offload"), Verdict::bad, "it is loaded",
         "ip xfrm state flush; modprobe -r esp4_offload; echo install esp4_offload /bin/false > "
         "/etc/modprobe.d/countersign-esp4_offload.conf",
         "ends all SAs"));
  offloads = {{Kind::feature, "eth0", "it is on", "ethtool -K eth0 esp-hw-offload off"}};
  EXPECT_TRUE(is(look("offload"), Verdict::bad, "it is on", "ethtool -K eth0 esp-hw-offload off"));
  offloads = {{Kind::builtin, "esp4_offload", "it is built in", "boot another kernel"}};
  EXPECT_TRUE(is(look("offload"), Verdict::bad, "it is built in", "", "boot another kernel"));
  EXPECT_EQ(look("offload").command, "");
  machine.find_offloads = [] {
    return Result<std::vector<OffloadFinding>>(Error(ErrorKind::unsupported, "nothing tells"));
  };
  EXPECT_TRUE(is(look("offload"), Verdict::unchecked, "nothing tells"));
}

TEST_F(Doctor, AKernelWithoutNfqueue) {
  machine.try_nfqueue = [] { return Result<void>(from_errno(EINVAL, "asking for NFQUEUE")); };
  EXPECT_TRUE(is(look("nfqueue"), Verdict::bad, "asking for NFQUEUE", "",
                 "CONFIG_NETFILTER_NETLINK_QUEUE"));
  add_module("netfilter/nfnetlink_queue");
  EXPECT_TRUE(is(look("nfqueue"), Verdict::bad, "", "modprobe nfnetlink_queue"));
}

TEST_F(Doctor, RulesByOneWayOrTheOther) {
  machine.try_rules = [](RuleKind kind) -> Result<void> {
    if (kind == RuleKind::iptables) return {};
    return Error(ErrorKind::unsupported, std::string(to_string(kind)) + " refuses");
  };
  EXPECT_TRUE(is(look("steering"), Verdict::good, "--iptables"));
  EXPECT_TRUE(is(look("egress-guard"), Verdict::bad, "tc refuses", "", "CONFIG_NET_CLS_FW"));
  machine.try_rules = [](RuleKind kind) -> Result<void> {
    return Error(ErrorKind::unsupported, std::string(to_string(kind)) + " refuses");
  };
  EXPECT_TRUE(
      is(look("steering"), Verdict::bad, "nft refuses; iptables refuses", "", "CONFIG_NFT_QUEUE"));
  machine.try_rules = [](RuleKind) -> Result<void> {
    return Error(ErrorKind::not_found, "there is no program");
  };
  EXPECT_TRUE(is(look("steering"), Verdict::bad, "no program", "apt-get install nftables"));
  EXPECT_TRUE(is(look("egress-guard"), Verdict::bad, "no program", "apt-get install iproute2"));
}

TEST_F(Doctor, TheBlockedModuleIsNamedForTheGuard) {
  machine.try_rules = [](RuleKind) -> Result<void> {
    return Error(ErrorKind::unsupported, "tc refuses");
  };
  tree.write("lib/modules/6.1.0-test/modules.dep",
             "net/sched/sch_ingress.ko:\nnet/sched/cls_fw.ko:\n");
  tree.write("etc/modprobe.d/a.conf", "blacklist cls_fw\n");
  EXPECT_TRUE(
      is(look("egress-guard"), Verdict::bad, "cls_fw is kept from loading", "; modprobe cls_fw"));
}

constexpr std::string_view input =
    R"({"chain":{"family":"inet","table":"filter","name":"input","type":"filter","hook":"input","prio":0,"policy":"drop"}})";

TEST_F(Doctor, AFirewallThatAdmitsNoEsp) {
  set_ruleset(std::string(input));
  EXPECT_TRUE(is(look("firewall"), Verdict::warning, "inet filter input drops what no rule admits",
                 "nft insert rule inet filter input meta l4proto '{ esp, ah }' accept"));
  set_ruleset(
      std::string(input) +
      R"(,{"rule":{"family":"inet","table":"filter","chain":"input","handle":4,"expr":[)"
      R"({"match":{"op":"==","left":{"meta":{"key":"l4proto"}},"right":{"set":["esp","ah"]}}},{"accept":null}]}})");
  EXPECT_TRUE(is(look("firewall"), Verdict::good));
}

TEST_F(Doctor, ARuleThatDropsEsp) {
  const std::string rule =
      R"({"rule":{"family":"ip","table":"TABLE","chain":"input","handle":7,"expr":[)"
      R"({"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"protocol"}},"right":"esp"}},{"drop":null}]}})";
  set_ruleset(rule);
  EXPECT_TRUE(is(look("firewall"), Verdict::warning, "ip TABLE input drops ESP",
                 "nft delete rule ip TABLE input handle 7"));
  set_ruleset(std::string(rule).replace(rule.find("TABLE"), 5, "countersign"));
  EXPECT_TRUE(is(look("firewall"), Verdict::good)) << "our own";
}

TEST_F(Doctor, ANameOfATableIsOneWordOfTheCure) {
  set_ruleset(R"({"rule":{"family":"ip","table":"t;reboot","chain":"`x`","handle":7,)"
              R"("expr":[{"counter":{"x":"ah"}},{"reject":null}]}})");
  EXPECT_EQ(look("firewall").command, "nft delete rule ip 't;reboot' '`x`' handle 7");
}

TEST_F(Doctor, OlderIptablesAreNotRead) {
  tree.write("proc/net/ip_tables_names", "filter\n");
  EXPECT_TRUE(
      is(look("firewall"), Verdict::warning, "iptables-legacy", "", "iptables-legacy-save"));
}

TEST_F(Doctor, NotrackBeforeReassembly) {
  const std::string rule =
      R"(,{"rule":{"family":"ip6","table":"t","chain":"c","handle":2,"expr":[{"notrack":null}]}})";
  const std::string chain =
      R"({"chain":{"family":"ip6","table":"t","name":"c","hook":"prerouting","prio":)";
  set_ruleset(chain + R"(-450,"policy":"accept"}})" + rule);
  EXPECT_TRUE(
      is(look("defragmentation"), Verdict::warning, "ip6 t c", "nft delete rule ip6 t c handle 2"));
  set_ruleset(chain + R"(-300,"policy":"accept"}})" + rule);
  EXPECT_TRUE(is(look("defragmentation"), Verdict::good));
  tree.write("sys/module/ip6table_raw/parameters/raw_before_defrag", "Y\n");
  EXPECT_TRUE(
      is(look("defragmentation"), Verdict::warning, "raw_before_defrag", "", "/etc/modprobe.d"));
}

TEST_F(Doctor, WhatNftSaysIsNotBelievedBlindly) {
  for (const std::string text : {"", "[]", "{", R"({"nftables":1})"}) {
    programs["nft"].output = text;
    EXPECT_TRUE(is(look("firewall"), Verdict::unchecked, "no list of rules")) << text;
  }
  set_ruleset(
      R"(1,[],{},{"rule":1},{"rule":{"expr":1,"handle":"x","table":2}},{"chain":{"hook":5,"prio":"x"}})");
  EXPECT_TRUE(is(look("firewall"), Verdict::good));
  EXPECT_TRUE(is(look("defragmentation"), Verdict::good));
  programs.erase("nft");
  EXPECT_TRUE(is(look("firewall"), Verdict::good, "no nftables"));
}

TEST_F(Doctor, AReloadTakesOurRulesAway) {
  programs["systemctl"].output =
      unit_text("nftables", "LoadState=loaded\nActiveState=inactive\nUnitFileState=enabled\n");
  EXPECT_TRUE(is(look("firewall-reload"), Verdict::warning,
                 "/etc/nftables.conf begins with flush ruleset", "", "OPERATIONS.md"));
  tree.write("etc/nftables.conf", "# flush ruleset\n");
  EXPECT_TRUE(is(look("firewall-reload"), Verdict::good));
  programs["systemctl"].output = unit_text("firewalld", "LoadState=loaded\nActiveState=active\n");
  EXPECT_TRUE(is(look("firewall-reload"), Verdict::warning, "firewalld makes the rules"));
}

}  // namespace
}  // namespace cs::test
