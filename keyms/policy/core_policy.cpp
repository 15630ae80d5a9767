// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/core_policy.h"

#include <algorithm>

#include "xfrm/agreement/expected.h"

namespace cs::keyms {
namespace {

using xfrm::End;

constexpr std::uint32_t ima_pcr = 10;
// What Linux leaves to applications: ExtendIndex of tpm/device/nv.h makes no other.
constexpr std::uint32_t first_event_index = 0x01d10225;
constexpr std::uint32_t last_event_index = 0x01d105ff;

Error refused(std::string why) {
  return {ErrorKind::invalid, std::move(why)};
}
Error above(const std::string& what, std::size_t most) {
  return {ErrorKind::limit, what + " are more than the " + std::to_string(most) + " allowed"};
}

bool is_printable(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

// --- a gateway -----------------------------------------------------------------------------------

Result<void> check_identity(const Gateway& gateway) {
  if (!is_ne_id(gateway.ne_id)) {
    return refused("its NeID is not right")
        .with_hint("a lower-case letter, then lower-case letters, digits and '-', at most 16");
  }
  if (gateway.attestation_key.has_value() == gateway.authority.has_value()) {
    return refused(gateway.authority ? "it has both attestation_key and authority"
                                     : "it has no attestation_key, so nobody knows who it is")
        .with_hint(
            "ask its operator for the Name of its attestation key, and compare the "
            "fingerprint; or name the authority that enrols it");
  }
  if (gateway.attestation_key) {
    const tpm::Bytes& name = gateway.attestation_key->bytes;
    constexpr std::size_t sha256_name = 34;
    if (name.size() != sha256_name || name[0] != 0 || name[1] != 0x0b) {
      return refused("attestation_key is no Name of a key whose name algorithm is SHA-256")
          .with_hint("it is 000b and 64 digits");
    }
  }
  return {};
}

Result<void> check_addresses(const Gateway& gateway) {
  if (gateway.addresses.size() > max_addresses) return above("its addresses", max_addresses);
  const auto is_none = [](const net::Address& address) {
    return std::ranges::all_of(address.view(), [](std::uint8_t byte) { return byte == 0; });
  };
  if (std::ranges::any_of(gateway.addresses, is_none)) {
    return refused("an address of all zero is nobody's").with_hint("leave out what is not known");
  }
  if (gateway.keymsd && (gateway.keymsd->port == 0 || is_none(gateway.keymsd->address))) {
    return refused("keymsd listens at no address or no port");
  }
  return {};
}

Result<void> check_pcr(const Gateway& gateway, std::uint32_t pcr, const std::string& what) {
  if (pcr == 16 || pcr == 23) {
    if (gateway.resettable) return {};
    return refused(what + " is PCR " + std::to_string(pcr) + ", which root can reset at any time")
        .with_hint("take another, or say resettable = true and know that drift can be hidden");
  }
  if (pcr < 8 || pcr > 15 || pcr == ima_pcr) {
    return refused(what + " is PCR " + std::to_string(pcr))
        .with_hint("take one of 8 to 15, but not 10, which IMA extends");
  }
  return {};
}

Result<void> check_registers(const Gateway& gateway) {
  CS_CHECK(check_pcr(gateway, gateway.static_pcr, "static_pcr"));
  const tpm::CelRegister& event = gateway.event_register;
  if (event.kind == tpm::CelRegister::Kind::nv_index) {
    if (event.number >= first_event_index && event.number <= last_event_index) return {};
    return refused("event_register is an NV index that is not for this")
        .with_hint("take one of nv:0x1d10225 to nv:0x1d105ff");
  }
  CS_CHECK(check_pcr(gateway, event.number, "event_register"));
  if (event.number == gateway.static_pcr) {
    return refused("static_pcr and event_register are the same PCR")
        .with_hint("sealing needs one that does not change with each event");
  }
  return {};
}

Result<void> check_boot(const Gateway& gateway) {
  for (const BootRule& rule : gateway.boot) {
    const std::string pcr = "PCR " + std::to_string(rule.pcr);
    if (rule.pcr > 14 || rule.pcr == ima_pcr) {
      return refused("boot has a rule for " + pcr)
          .with_hint("0 to 14 are of the boot, without 10: that is IMA's, see ima");
    }
    const bool is_event = gateway.event_register.kind == tpm::CelRegister::Kind::pcr &&
                          gateway.event_register.number == rule.pcr;
    if (rule.pcr == gateway.static_pcr || is_event) {
      return refused("boot has a rule for " + pcr + ", which is one of its own registers");
    }
    if (rule.accepted.size() > max_accepted) return above("the values of " + pcr, max_accepted);
    const auto other_bank = [](const tpm::Digest& value) {
      return value.algorithm() != tpm::HashAlgorithm::sha256;
    };
    if (std::ranges::any_of(rule.accepted, other_bank)) {
      return refused("a value of " + pcr + " is not of the bank sha256");
    }
  }
  const auto same = [](const BootRule& a, const BootRule& b) { return a.pcr == b.pcr; };
  if (std::ranges::adjacent_find(gateway.boot, same) != gateway.boot.end()) {
    return refused("boot has two rules for one PCR");
  }
  return {};
}

Result<void> check_ima(const ImaRules& ima) {
  if (ima.list_keys.size() > max_list_keys) return above("ima.list_keys", max_list_keys);
  if (ima.ignored.size() > max_ignored) return above("ima.ignored", max_ignored);
  if (ima.list_keys.empty() && ima.ignored.empty()) {
    return refused("ima accepts nothing: no key that signs lists of files, no path ignored")
        .with_hint("name a key in ima.list_keys, or leave ima out");
  }
  for (const std::string& path : ima.ignored) {
    if (!path.starts_with('/') || path.size() > max_path || !is_printable(path)) {
      return refused("ima.ignored has what is no absolute path of up to 255 printable characters");
    }
  }
  return {};
}

Result<void> check_gateway(const Gateway& gateway) {
  CS_CHECK(check_identity(gateway));
  CS_CHECK(check_addresses(gateway));
  CS_CHECK(check_registers(gateway));
  CS_CHECK(check_boot(gateway));
  return gateway.ima ? check_ima(*gateway.ima) : Result<void>();
}

// --- its tunnels ---------------------------------------------------------------------------------

Result<void> check_tunnel(const CorePolicy& policy, const xfrm::Tunnel& tunnel) {
  CS_CHECK(xfrm::validate(tunnel));
  if (!is_printable(tunnel.name)) return refused("its name is not printable ASCII");
  for (const End end : {End::left, End::right}) {
    const Gateway& gateway = policy.gateways.at(index(end));
    const auto& address = tunnel.ends.at(index(end)).address;
    if (!address || gateway.addresses.empty()) continue;
    if (std::ranges::find(gateway.addresses, *address) == gateway.addresses.end()) {
      return refused("its address " + address->text() + " is none of " + gateway.ne_id + "'s")
          .with_hint("add it to the addresses of gateways." + gateway.ne_id);
    }
  }
  std::vector<std::string> seen;
  for (const xfrm::Proposal& proposal : tunnel.proposals) {
    auto words = xfrm::words_of(proposal);
    if (!words) return refused("a proposal has algorithms that no words are known for");
    if (std::ranges::find(seen, *words) != seen.end()) return refused(*words + " is there twice");
    seen.push_back(*std::move(words));
  }
  return {};
}

std::optional<Problem> check_agreement(const CorePolicy& policy) {
  const xfrm::Agreement& agreement = policy.agreement;
  if (agreement.tunnels.empty()) {
    return Problem{"", refused("it has no tunnel, and so protects nothing")};
  }
  for (const xfrm::Tunnel& tunnel : agreement.tunnels) {
    auto one = check_tunnel(policy, tunnel);
    if (!one.ok()) return Problem{"tunnels." + tunnel.name, std::move(one).error()};
  }
  for (const xfrm::Bypass& bypass : agreement.bypasses) {
    if (!is_printable(bypass.name)) {
      return Problem{"bypasses." + bypass.name, refused("its name is not printable ASCII")};
    }
  }
  for (const End end : {End::left, End::right}) {
    auto expected = xfrm::expect(agreement, end);
    if (!expected.ok()) return Problem{"", std::move(expected).error()};
  }
  return std::nullopt;
}

// --- the rest ------------------------------------------------------------------------------------

Result<void> check_range(const std::string& what, std::chrono::seconds value,
                         std::chrono::seconds least, std::chrono::seconds most) {
  if (value >= least && value <= most) return {};
  return refused(what + " is " + std::to_string(value.count()) + " s")
      .with_hint(std::to_string(least.count()) + " to " + std::to_string(most.count()) +
                 " s are allowed");
}

Result<void> check_signing(const CorePolicy& policy) {
  using std::chrono::seconds;
  const Signing& signing = policy.signing;
  const bool p256 = signing.suite == Suite::p256_node16 || signing.suite == Suite::p256_node32;
  if (signing.mode == SigningMode::tpm && !p256) {
    return refused("mode tpm with a suite of Ed25519, which TPMs do not have")
        .with_hint("take p256-32");
  }
  CS_CHECK(check_range("key_lifetime", signing.key_lifetime, seconds(20), seconds(86400)));
  if (signing.key_lifetime < policy.attestation.interval) {
    return refused(
        "key_lifetime is shorter than attestation.interval: a key would end before "
        "there is another");
  }
  CS_CHECK(check_range("overlap", signing.overlap, seconds(0), seconds(300)));
  if (signing.overlap * 2 > signing.key_lifetime) {
    return refused("overlap is more than half of key_lifetime");
  }
  return {};
}

Result<void> check_attestation(const Attestation& attestation) {
  using std::chrono::seconds;
  CS_CHECK(check_range("interval", attestation.interval, seconds(10), seconds(86400)));
  CS_CHECK(check_range("certificate_lifetime", attestation.certificate_lifetime, seconds(600),
                       max_duration));
  if (attestation.certificate_lifetime < attestation.interval * 2) {
    return refused("certificate_lifetime is less than two intervals");
  }
  CS_CHECK(check_range("silence", attestation.silence, seconds(2), seconds(3600)));
  CS_CHECK(check_range("grace", attestation.grace, seconds(0), max_duration));
  if (attestation.on_failure == OnFailure::cut && attestation.grace != seconds(0)) {
    return refused("grace has no meaning where a failure cuts at once")
        .with_hint("leave it out, or let on_failure be report or restrict");
  }
  return {};
}

Result<void> check_head(const CorePolicy& policy) {
  if (policy.name.empty() || policy.name.size() > xfrm::max_name || !is_printable(policy.name)) {
    return refused("its name is not 1 to 64 printable ASCII characters");
  }
  if (policy.version == 0 || policy.version > max_version) {
    return refused("its version is not between 1 and " + std::to_string(max_version));
  }
  if (policy.predecessor.has_value() != (policy.version > 1)) {
    return refused(policy.predecessor ? "version 1 has a predecessor"
                                      : "it has no predecessor, and only version 1 has none")
        .with_hint("`countersign policy show` tells the value of the version before");
  }
  const auto& [first, second] = policy.gateways;
  if (first.ne_id == second.ne_id) return refused("both gateways have one NeID");
  if (first.attestation_key && first.attestation_key == second.attestation_key) {
    return refused("both gateways have one attestation key");
  }
  if (!first.keymsd && !second.keymsd) {
    return refused("neither gateway has a keymsd that listens, so they cannot meet")
        .with_hint("say keymsd = \"ADDRESS:PORT\" for the one that the other can reach");
  }
  return {};
}

}  // namespace

std::optional<Problem> find_problem(const CorePolicy& policy) {
  for (const Gateway& gateway : policy.gateways) {
    auto done = check_gateway(gateway);
    if (!done.ok()) return Problem{"gateways." + gateway.ne_id, std::move(done).error()};
  }
  if (auto done = check_head(policy); !done.ok()) return Problem{"", std::move(done).error()};
  if (auto problem = check_agreement(policy)) return problem;
  if (auto done = check_signing(policy); !done.ok()) {
    return Problem{"signing", std::move(done).error()};
  }
  if (auto done = check_attestation(policy.attestation); !done.ok()) {
    return Problem{"attestation", std::move(done).error()};
  }
  CorePolicy in_order = policy;
  normalise(in_order);
  if (in_order != policy) {
    return Problem{"", refused("a part of it is not in ascending order, or there twice")};
  }
  return std::nullopt;
}

Result<void> validate(const CorePolicy& policy) {
  auto problem = find_problem(policy);
  if (!problem) return {};
  return std::move(problem->error)
      .context("the core policy" + (problem->part.empty() ? "" : "'s " + problem->part));
}

std::optional<xfrm::End> end_of(const CorePolicy& policy, std::string_view ne_id) {
  for (const End end : {End::left, End::right}) {
    if (policy.gateways.at(index(end)).ne_id == ne_id) return end;
  }
  return std::nullopt;
}

}  // namespace cs::keyms
