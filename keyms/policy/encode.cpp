// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/encode.h"

#include <algorithm>

#include "base/cbor_writer.h"

namespace cs::keyms {
namespace {

constexpr std::uint64_t format = 1;

template <class Enum>
void put(CborWriter& out, std::uint64_t key, Enum value) {
  out.key(key).number(static_cast<std::uint64_t>(value));
}

void put(CborWriter& out, std::uint64_t key, const xfrm::Mark& mark) {
  out.key(key).array(2).number(mark.value).number(mark.mask);
}

void put(CborWriter& out, std::uint64_t key, std::chrono::seconds duration) {
  out.key(key).number(static_cast<std::uint64_t>(duration.count()));
}

void put_hashes(CborWriter& out, const std::vector<Hash>& hashes) {
  out.array(hashes.size());
  for (const Hash& hash : hashes) out.bytes(hash);
}

void put(CborWriter& out, const ImaRules& ima) {
  out.map(3).key(1);
  put_hashes(out, ima.list_keys);
  out.key(2).array(ima.ignored.size());
  for (const std::string& path : ima.ignored) out.text(path);
  out.key(3).boolean(ima.accept_violations);
}

void put(CborWriter& out, const Gateway& gateway) {
  const std::size_t optional = (gateway.keymsd ? 1U : 0U) + (gateway.ima ? 1U : 0U);
  out.map(8 + optional).key(1).text(gateway.ne_id);
  if (gateway.attestation_key) out.key(2).bytes(gateway.attestation_key->bytes);
  if (gateway.authority) out.key(3).bytes(*gateway.authority);
  put(out, 4, gateway.proof);
  out.key(5).array(gateway.addresses.size());
  for (const net::Address& address : gateway.addresses) out.bytes(address.view());
  if (gateway.keymsd) {
    out.key(6).array(2).bytes(gateway.keymsd->address.view()).number(gateway.keymsd->port);
  }
  put(out, 7, gateway.static_pcr);
  out.key(8).array(2).number(static_cast<std::uint64_t>(gateway.event_register.kind));
  out.number(gateway.event_register.number);
  out.key(9).boolean(gateway.resettable);
  out.key(10).array(gateway.boot.size());
  for (const BootRule& rule : gateway.boot) {
    out.array(2).number(rule.pcr).array(rule.accepted.size());
    for (const tpm::Digest& value : rule.accepted) out.bytes(value.bytes());
  }
  if (gateway.ima) put(out.key(11), *gateway.ima);
}

void put(CborWriter& out, const xfrm::Traffic& traffic) {
  out.array(5).bytes(traffic.network.address.view()).number(traffic.network.length);
  out.number(traffic.protocol).number(traffic.ports.port).number(traffic.ports.mask);
}

void put(CborWriter& out, const xfrm::TunnelEnd& end) {
  out.map(end.address ? 2 : 1);
  if (end.address) out.key(1).bytes(end.address->view());
  out.key(2).array(end.traffic.size());
  for (const xfrm::Traffic& traffic : end.traffic) put(out, traffic);
}

void put(CborWriter& out, const xfrm::Tunnel& tunnel) {
  out.map(15).key(1).text(tunnel.name).key(2).array(2);
  for (const xfrm::TunnelEnd& end : tunnel.ends) put(out, end);
  put(out, 3, tunnel.mode);
  put(out, 4, tunnel.protocol);
  out.key(5).array(tunnel.proposals.size());
  // A policy that validates has words for each.
  for (const xfrm::Proposal& one : tunnel.proposals) out.text(xfrm::words_of(one).value_or(""));
  put(out, 6, tunnel.extended_sequence_numbers);
  put(out, 7, tunnel.udp_encapsulation);
  put(out, 8, tunnel.least_replay_window);
  put(out, 9, tunnel.inbound_mark);
  put(out, 10, tunnel.output_mark);
  put(out, 11, tunnel.inbound_policy_mark);
  put(out, 12, tunnel.outbound_policy_mark);
  put(out, 13, tunnel.interface_id);
  put(out, 14, tunnel.most_seconds);
  out.key(15).boolean(tunnel.forwards);
}

void put(CborWriter& out, const xfrm::Bypass& bypass) {
  out.map(4).key(1).text(bypass.name);
  put(out, 2, bypass.at);
  put(out.key(3), bypass.here);
  put(out.key(4), bypass.there);
}

void put(CborWriter& out, const xfrm::Defaults& defaults) {
  out.array(3);
  for (const xfrm::Action action : {defaults.in, defaults.forward, defaults.out}) {
    out.number(static_cast<std::uint64_t>(action));
  }
}

void put(CborWriter& out, const Signing& signing) {
  out.map(5);
  put(out, 1, signing.mode);
  put(out, 2, signing.suite);
  put(out, 3, signing.inbound);
  put(out, 4, signing.key_lifetime);
  put(out, 5, signing.overlap);
}

void put(CborWriter& out, const Attestation& attestation) {
  out.map(6);
  put(out, 1, attestation.interval);
  put(out, 2, attestation.certificate_lifetime);
  put(out, 3, attestation.silence);
  put(out, 4, attestation.after_drift);
  put(out, 5, attestation.on_failure);
  put(out, 6, attestation.grace);
}

}  // namespace

Result<std::vector<std::uint8_t>> encode(const CorePolicy& policy) {
  CS_CHECK(validate(policy));
  CborWriter out(max_policy_bytes);
  out.map(policy.predecessor ? 10 : 9).key(0).number(format).key(1).text(policy.name);
  put(out, 2, policy.version);
  if (policy.predecessor) out.key(3).bytes(*policy.predecessor);
  out.key(4).array(2);
  for (const Gateway& gateway : policy.gateways) put(out, gateway);
  out.key(5).array(policy.agreement.tunnels.size());
  for (const xfrm::Tunnel& tunnel : policy.agreement.tunnels) put(out, tunnel);
  out.key(6).array(policy.agreement.bypasses.size());
  for (const xfrm::Bypass& bypass : policy.agreement.bypasses) put(out, bypass);
  put(out.key(7), policy.agreement.defaults);
  put(out.key(8), policy.signing);
  put(out.key(9), policy.attestation);
  return out.finish("encoding a core policy");
}

Hash core_properties_value(ByteView encoded) {
  const tpm::Digest digest = tpm::Hasher(tpm::HashAlgorithm::sha256).hash({encoded});
  Hash out{};
  std::ranges::copy(digest.bytes(), out.begin());
  return out;
}

}  // namespace cs::keyms
