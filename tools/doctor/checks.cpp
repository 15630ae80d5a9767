// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/doctor/checks.h"

#include <algorithm>
#include <array>

namespace cs::doctor {

namespace {

constexpr bool decides = true;
constexpr bool informs = false;

// docs/OPERATIONS.md has a row for each.
constexpr std::array table{
    Check{"privileges", "what this process may ask", informs, look_at_privileges},
    Check{"xfrm", "the kernel's IPsec over netlink", decides, look_at_xfrm},
    Check{"esp", "ESP over IPv4", decides, look_at_esp},
    Check{"esp-ipv6", "ESP over IPv6", decides, look_at_esp_ipv6},
    Check{"ah", "AH over IPv4", informs, look_at_ah},
    Check{"ah-ipv6", "AH over IPv6", informs, look_at_ah_ipv6},
    Check{"algorithms", "algorithms of ESP", decides, look_at_algorithms},
    Check{"offload", "IPsec offload", decides, look_at_offload},
    Check{"switches", "switches that turn IPsec off", decides, look_at_switches},
    Check{"default-policy", "the default IPsec policy", informs, look_at_default_policy},
    Check{"nfqueue", "NFQUEUE", decides, look_at_nfqueue},
    Check{"steering", "rules that queue packets", decides, look_at_steering},
    Check{"egress-guard", "the filter against unsigned packets", decides, look_at_egress_guard},
    Check{"defragmentation", "reassembly of fragments", informs, look_at_defragmentation},
    Check{"firewall", "firewall rules of others", informs, look_at_firewall},
    Check{"firewall-reload", "rules that outlive a reload", informs, look_at_firewall_reload},
    Check{"forwarding", "forwarding", informs, look_at_forwarding},
    Check{"mtu", "MTU of the interfaces", informs, look_at_mtu},
    Check{"paths", "paths of the configured tunnels", informs, look_at_paths},
    Check{"strongswan", "strongSwan", informs, look_at_strongswan},
    Check{"ike", "the IKE daemon", informs, look_at_ike},
    Check{"ports", "ports of IKE", informs, look_at_ports},
    Check{"tpm", "TPM 2.0", decides, look_at_tpm},
    Check{"pcr-bank", "the TPM's registers", decides, look_at_pcr_bank},
    Check{"lockout", "the TPM's lockout", decides, look_at_lockout},
    Check{"endorsement", "the endorsement certificate", informs, look_at_endorsement},
    Check{"boot-log", "the boot event log", decides, look_at_boot_log},
    Check{"ima", "measured files (IMA)", decides, look_at_ima},
    Check{"clock", "the clock", decides, look_at_clock},
    Check{"signer", "nfq-signer", informs, look_at_signer},
    Check{"memlock", "memory for keys", informs, look_at_memlock},
    Check{"state-directory", "/var/lib/countersign", decides, look_at_state_directory},
};

}  // namespace

std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::good:
      return "good";
    case Verdict::warning:
      return "warning";
    case Verdict::bad:
      return "bad";
    case Verdict::unchecked:
      return "unchecked";
  }
  return "unknown";
}

std::span<const Check> all_checks() noexcept {
  return table;
}

std::size_t Diagnosis::count(Verdict verdict) const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count(lines, verdict, [](const Line& line) { return line.finding.verdict; }));
}

bool Diagnosis::is_open() const noexcept {
  return count(Verdict::bad) == 0 && std::ranges::any_of(lines, [](const Line& line) {
           return line.check->decides && line.finding.verdict == Verdict::unchecked;
         });
}

Diagnosis examine(const Machine& machine, std::span<const Check* const> checks) {
  Diagnosis diagnosis;
  for (const Check* check : checks) diagnosis.lines.push_back({check, check->look(machine)});
  return diagnosis;
}

}  // namespace cs::doctor
