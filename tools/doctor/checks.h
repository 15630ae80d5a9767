// SPDX-License-Identifier: GPL-3.0-or-later
// The checks by themselves; checks.cpp has them in a table, with what each is called.
#pragma once

#include "tools/doctor/check.h"

namespace cs::doctor {

Finding look_at_privileges(const Machine& machine);

// ipsec_checks.cpp
Finding look_at_xfrm(const Machine& machine);
Finding look_at_esp(const Machine& machine);
Finding look_at_esp_ipv6(const Machine& machine);
Finding look_at_ah(const Machine& machine);
Finding look_at_ah_ipv6(const Machine& machine);
Finding look_at_algorithms(const Machine& machine);
Finding look_at_default_policy(const Machine& machine);
Finding look_at_switches(const Machine& machine);
Finding look_at_offload(const Machine& machine);

// packet_checks.cpp
Finding look_at_nfqueue(const Machine& machine);
Finding look_at_steering(const Machine& machine);
Finding look_at_egress_guard(const Machine& machine);

// firewall_checks.cpp
Finding look_at_defragmentation(const Machine& machine);
Finding look_at_firewall(const Machine& machine);
Finding look_at_firewall_reload(const Machine& machine);

// network_checks.cpp
Finding look_at_forwarding(const Machine& machine);
Finding look_at_mtu(const Machine& machine);
Finding look_at_ike(const Machine& machine);
Finding look_at_strongswan(const Machine& machine);
Finding look_at_ports(const Machine& machine);

// path_checks.cpp
Finding look_at_paths(const Machine& machine);

// evidence_checks.cpp
Finding look_at_tpm(const Machine& machine);
Finding look_at_pcr_bank(const Machine& machine);
Finding look_at_lockout(const Machine& machine);
Finding look_at_endorsement(const Machine& machine);
Finding look_at_boot_log(const Machine& machine);
Finding look_at_ima(const Machine& machine);

// system_checks.cpp
Finding look_at_clock(const Machine& machine);
Finding look_at_signer(const Machine& machine);
Finding look_at_memlock(const Machine& machine);
Finding look_at_state_directory(const Machine& machine);

}  // namespace cs::doctor
