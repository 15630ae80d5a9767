// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's configuration: what concerns this machine alone. What two gateways agree on is in core
// policies, and in the store. keymsd.toml beside this file lists the fields.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "keyms/policy/core_policy.h"
#include "tpm/logs/cel.h"
#include "tpm/pcr.h"
#include "tpm/seal/own_log.h"
#include "xfrm/gate/gate.h"

namespace cs::keyms {

struct DaemonConfig {
  // [tpm]
  std::string tcti = "device:/dev/tpmrm0";
  std::string owner_auth;  // files with auth values; empty: the empty value
  std::string endorsement_auth;
  // What the store is sealed to, beside the static register.
  tpm::PcrSelection boot_registers;
  std::uint32_t static_pcr = 15;
  tpm::CelRegister event_register{tpm::CelRegister::Kind::pcr, 13};
  bool resettable = false;
  // What others extend our registers with before we do.
  std::vector<tpm::ForeignEvent> explained_static;
  std::vector<tpm::ForeignEvent> explained_events;
  std::string boot_log = "/sys/kernel/security/tpm0/binary_bios_measurements";
  std::string ima_log = "/sys/kernel/security/ima/binary_runtime_measurements";

  // [state]
  std::string state_directory = "/var/lib/countersign/keymsd";
  std::string approver;  // PEM of who approves states of this machine, off it; empty: nobody

  // [trust]
  std::string vendor_roots = "/etc/countersign/vendor-roots";
  std::string digest_lists = "/etc/countersign/digest-lists";

  // [network]
  std::vector<Endpoint> listen;
  std::string carrier = "/usr/libexec/countersign/keymsd-carrier";  // empty: no TLS at all
  std::string carrier_user = "keymsd-carrier";
  // Third parties' carriers.
  std::string carrier_socket;  // empty: none may come
  std::string carrier_socket_user = "root";

  // [sockets]
  std::string control_socket = "/run/countersign/keymsd/control";
  std::string signer_socket = "/run/countersign/keymsd/data-plane";
  std::string signer_user = "nfq-signer";

  // [kernel]
  bool kernel = true;  // false: another one keeps gate and SAs (for tests without privileges)
  std::optional<xfrm::GateKind> gate;
  std::vector<std::uint16_t> udp_ports{4500};
  std::uint16_t translator_port = 0;
  std::optional<std::uint16_t> held_queue{99};
  std::uint32_t audit_seconds = 60;
  std::string vici = "/run/charon.vici";  // empty: no IKE daemon answers for SAs

  bool operator==(const DaemonConfig&) const = default;

  [[nodiscard]] bool has_event_index() const {
    return event_register.kind == tpm::CelRegister::Kind::nv_index;
  }
  [[nodiscard]] std::string store() const { return state_directory + "/store.db"; }
  [[nodiscard]] std::string logs() const { return state_directory + "/logs"; }
  // What lets extend an event register that is an NV index.
  [[nodiscard]] std::string event_index_auth() const {
    return state_directory + "/event-index-auth";
  }
  [[nodiscard]] std::string failures() const { return state_directory + "/failed-authorisation"; }
};

inline constexpr std::uint16_t default_port = 4739;

// `name` is for errors. Refused, each with line and column: an unknown field (what may have been
// meant), a value out of its range, registers that are somebody else's.
[[nodiscard]] Result<DaemonConfig> parse_daemon_config(std::string_view text,
                                                       const std::string& name);
[[nodiscard]] Result<DaemonConfig> read_daemon_config(const std::string& path);
// All there are, as "tpm.tcti".
[[nodiscard]] std::set<std::string> daemon_config_fields();

// SHA-256 of what was set, in one form: what the static register is extended with. Defaults count
// as set, comments and order do not.
[[nodiscard]] Hash configuration_digest(const DaemonConfig& config);

}  // namespace cs::keyms
