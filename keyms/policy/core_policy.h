// SPDX-License-Identifier: GPL-3.0-or-later
// The core policy: all that two gateways have agreed about the tunnels between them. A person
// writes it in TOML (toml.h); machines keep it as deterministic CBOR (encode.h), whose SHA-256 is
// the core properties value. docs/POLICY.md is the norm.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "keyms/hash.h"
#include "keyms/ne_id.h"
#include "keyms/signer_protocol.h"
#include "tpm/evidence/structures.h"
#include "tpm/hash.h"
#include "tpm/logs/cel.h"
#include "tpm/pcr.h"
#include "xfrm/address.h"
#include "xfrm/agreement/agreement.h"

namespace cs::keyms {

// Where a gateway's keymsd listens.
struct Endpoint {
  net::Address address;
  std::uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
};

enum class Proof : std::uint8_t {
  required,  // that the attestation key is in a TPM whose vendor we trust
  optional,  // "TPM unproven" stands in each verdict that goes without
};

// The boot registers, of firmware and boot loader.
struct BootRule {
  std::uint32_t pcr = 0;              // 0 to 14 without 10, quoted with SHA-256
  std::vector<tpm::Digest> accepted;  // SHA-256; none: quoted, and any value will do
  bool operator==(const BootRule&) const = default;
};

// What the kernel has measured (IMA, PCR 10).
struct ImaRules {
  // Keys that sign lists of accepted file digests: SHA-256 of their SubjectPublicKeyInfo.
  std::vector<Hash> list_keys;
  // Files that are measured and judged by nothing: prefixes of their paths.
  std::vector<std::string> ignored;
  // Whether an entry of which the kernel could not tell the content is accepted.
  bool accept_violations = false;
  bool operator==(const ImaRules&) const = default;
};

// What may follow when a gateway did what the policy does not say, and it was put right.
enum class AfterDrift : std::uint8_t {
  healed,        // its own log says that it was put right: it is granted again
  acknowledged,  // and an operator of the other gateway has acknowledged it
  reboot,        // only a new boot will do
};

// What happens to traffic when a gateway fails to attest.
enum class OnFailure : std::uint8_t {
  report,    // it is told, and the traffic goes on
  restrict,  // no new SA is admitted, what there is goes on
  cut,       // the gate is closed, keys withdrawn, SAs deleted
};

// One of the two gateways.
struct Gateway {
  std::string ne_id;  // "berlin-1"
  // Who it is: by its attestation key's Name, or by who enrols it (SHA-256 of the authority's
  // SubjectPublicKeyInfo). Exactly one.
  std::optional<tpm::Name> attestation_key;
  std::optional<Hash> authority;
  Proof proof = Proof::required;
  std::vector<net::Address> addresses;  // of its IPsec; none: not known before, as behind a NAT
  std::optional<Endpoint> keymsd;       // none: it only connects
  // Its two registers. The static one is a PCR, 8 to 15; 16 and 23 only where `resettable`.
  std::uint32_t static_pcr = 15;
  tpm::CelRegister event_register{tpm::CelRegister::Kind::pcr, 13};
  bool resettable = false;
  std::vector<BootRule> boot;
  std::optional<ImaRules> ima;  // none: IMA is not asked for
  bool operator==(const Gateway&) const = default;
};

enum class SigningMode : std::uint8_t { session, tpm };

// How packets are signed, as DESIGN's data plane does it.
struct Signing {
  SigningMode mode = SigningMode::session;
  Suite suite = Suite::p256_node16;
  Mode inbound = Mode::enforce;  // what becomes of packets that come in
  std::chrono::seconds key_lifetime{600};
  std::chrono::seconds overlap{30};  // how long the former key is still accepted after a renewal
  bool operator==(const Signing&) const = default;
};

struct Attestation {
  std::chrono::seconds interval{300};                // from one verdict to the next
  std::chrono::seconds certificate_lifetime{86400};  // of an endpoint's certificate
  std::chrono::seconds silence{15};                  // without a sign of life: as a denial
  AfterDrift after_drift = AfterDrift::acknowledged;
  OnFailure on_failure = OnFailure::cut;
  // With report and restrict: how long until the next worse follows; 0: it never does.
  std::chrono::seconds grace{0};
  bool operator==(const Attestation&) const = default;
};

struct CorePolicy {
  std::string name;  // for people: "berlin-hamburg"
  std::uint64_t version = 1;
  std::optional<Hash> predecessor;  // the core properties value of version - 1; of version 1 none
  std::array<Gateway, 2>
      gateways;  // in ascending order of ne_id; the first is the agreement's left
  xfrm::Agreement agreement;
  Signing signing;
  Attestation attestation;
  bool operator==(const CorePolicy&) const = default;
};

inline constexpr std::size_t max_policy_bytes = std::size_t{256} * 1024;
inline constexpr std::uint64_t max_version = 0xffff'ffff;
inline constexpr std::size_t max_accepted = 64;  // of one PCR
inline constexpr std::size_t max_list_keys = 8;
inline constexpr std::size_t max_ignored = 64;
inline constexpr std::size_t max_path = 255;
inline constexpr std::chrono::seconds max_duration{400L * 86400};

// Brings it into the one order in which it is kept: gateways (and with them the two ends of each
// tunnel) by NeID, tunnels and bypasses by name, what is a set in ascending order and each member
// once. Proposals keep theirs, which is one of preference.
void normalise(CorePolicy& policy);

// Why a policy cannot be kept, or would not protect.
struct Problem {
  std::string part;  // "gateways.berlin-1", "tunnels.lan", "signing"; empty: all of it
  Error error;
};
[[nodiscard]] std::optional<Problem> find_problem(const CorePolicy& policy);
// The same as a result. Everything that reads a policy asks this.
Result<void> validate(const CorePolicy& policy);

// What is allowed and yet weak, in sentences; of a policy that validates.
[[nodiscard]] std::vector<std::string> advice(const CorePolicy& policy);

// Which of the two this gateway is; none: neither.
[[nodiscard]] std::optional<xfrm::End> end_of(const CorePolicy& policy, std::string_view ne_id);

}  // namespace cs::keyms
