// SPDX-License-Identifier: GPL-3.0-or-later
// A machine without a fault, put together from files and answers; tests then break it.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/unit/temporary_directory.h"
#include "tools/doctor/doctor.h"

namespace cs::test {

inline constexpr std::string_view fit_ruleset =
    R"({"nftables":[{"metainfo":{}},{"table":{"family":"inet","name":"filter"}}]})";

// What `systemctl show` says of one unit.
inline std::string unit_text(const std::string& name, const std::string& properties) {
  return "Id=" + name + ".service\n" + properties + "\n";
}

struct FitMachine {
  TemporaryDirectory tree;
  ManualClock clock;
  doctor::Machine machine;
  std::map<std::string, CommandOutcome> programs;  // by name; others are not there
  tpm::Status tpm;

  FitMachine() {
    using namespace std::chrono_literals;
    clock.set_wall(WallTime(SystemClock().wall().time_since_epoch() + 1h));
    machine.root = tree.path();
    machine.clock = &clock;
    add_files();
    add_programs();
    tpm.capabilities.manufacturer = "IFX";
    tpm.capabilities.vendor = "SLB9670";
    tpm.capabilities.banks = {tpm::HashAlgorithm::sha256};
    tpm.endorsement.certificates.push_back({0x01c0000a, {0x30}});
    machine.run = [this](const std::vector<std::string>& argv) -> Result<CommandOutcome> {
      const auto found = programs.find(argv.at(0));
      if (found == programs.end())
        return Error(ErrorKind::not_found, "there is no program " + argv[0]);
      return found->second;
    };
    machine.try_sa = [](doctor::SaQuestion) { return Result<void>(); };
    machine.try_nfqueue = [] { return Result<void>(); };
    machine.try_rules = [](RuleKind) { return Result<void>(); };
    machine.read_defaults = [] { return Result<std::optional<xfrm::Defaults>>(xfrm::Defaults()); };
    machine.find_offloads = [] {
      return Result<std::vector<OffloadFinding>>(std::vector<OffloadFinding>());
    };
    machine.path_mtu = [](const net::Address&) { return Result<std::uint32_t>(1500); };
    machine.is_clock_synchronised = [] { return Result<bool>(true); };
    machine.read_tpm = [this] { return Result<tpm::Status>(tpm); };
  }

  void add_interface(const std::string& name, const std::string& mtu,
                     const std::string& flags = "0x1003") const {
    tree.write("sys/class/net/" + name + "/mtu", mtu + "\n");
    tree.write("sys/class/net/" + name + "/flags", flags + "\n");
    const std::string conf = "proc/sys/net/ipv4/conf/" + name;
    tree.write(conf + "/disable_xfrm", name == "lo" ? "1\n" : "0\n");
    tree.write(conf + "/disable_policy", name == "lo" ? "1\n" : "0\n");
    tree.write("proc/sys/net/ipv6/conf/" + name + "/disable_policy", "0\n");
  }

  // A process that has the socket with this inode open.
  void add_process(const std::string& number, const std::string& name,
                   const std::string& inode = "1") const {
    tree.write("proc/" + number + "/comm", name + "\n");
    const std::string file = tree.file("proc/" + number + "/fd/3");
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::filesystem::create_symlink("socket:[" + inode + "]", file);
  }

  // Module `name` is there to be loaded.
  void add_module(const std::string& name) const {
    tree.write("lib/modules/6.1.0-test/modules.dep",
               "kernel/net/" + name + ".ko: kernel/net/other.ko\n");
  }

  [[nodiscard]] doctor::Finding look(std::string_view code) const {
    for (const doctor::Check& check : doctor::all_checks()) {
      if (check.code == code) return check.look(machine);
    }
    ADD_FAILURE() << "no check " << code;
    return {};
  }

 private:
  void add_files() const {
    tree.write("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
    tree.write("proc/sys/kernel/osrelease", "6.1.0-test\n");
    tree.write("proc/net/if_inet6", "");
    tree.write("proc/thread-self/net/udp", "  sl  local_address rem_address   st\n");
    tree.write("proc/net/unix",
               "Num RefCount Protocol Flags Type St Inode Path\n"
               "0: 00000002 00000000 00010000 0001 01 7 /run/charon.vici\n");
    tree.write("proc/sys/net/ipv4/ip_forward", "1\n");
    tree.write("proc/sys/net/ipv6/conf/all/forwarding", "1\n");
    add_interface("lo", "65536");
    add_interface("wan", "1500");
    tree.write("dev/tpmrm0", "");
    tree.write("sys/kernel/security/tpm0/binary_bios_measurements", "log");
    tree.write("sys/kernel/security/ima/ascii_runtime_measurements",
               "10 00 ima-ng sha256:00 boot_aggregate\n10 00 ima-ng sha256:00 /init\n");
    tree.write("run/systemd/system/x", "");
    tree.write("var/lib/dpkg/status", "");
    tree.write("etc/nftables.conf", "#!/usr/sbin/nft -f\n\nflush ruleset\n");
  }

  void add_programs() {
    programs["nft"] = {0, std::string(fit_ruleset), ""};
    programs["swanctl"] = {22, "", "Error: connecting failed\nstrongSwan 5.9.8 swanctl\n"};
    programs["systemctl"] = {
        0,
        unit_text("nfq-signer", "LoadState=loaded\nActiveState=active\nLimitMEMLOCK=infinity\n") +
            unit_text("nftables",
                      "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n") +
            unit_text("ufw", "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n"),
        ""};
  }
};

}  // namespace cs::test
