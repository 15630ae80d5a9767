// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/canonical/encode.h"

#include <algorithm>

#include "xfrm/agreement/agreement.h"

namespace cs::xfrm::canonical {
namespace {

void encode(const Prefix& prefix, CborWriter& out) {
  out.array(2).bytes(prefix.address.view()).number(prefix.length);
}

// Bits outside the mask fit nothing in a mark, and are not looked at in a port.
void encode(const Mark& mark, CborWriter& out) {
  out.array(2).number(mark.value).number(mark.mask);
}
void encode(const Ports& ports, CborWriter& out) {
  out.array(2).number(ports.port & ports.mask).number(ports.mask);
}

void encode(const Selector& selector, CborWriter& out) {
  if (selector.any_family) {
    out.null();
    return;
  }
  out.array(7);
  encode(selector.source, out);
  encode(selector.destination, out);
  out.number(selector.protocol);
  encode(selector.source_ports, out);
  encode(selector.destination_ports, out);
  out.number(selector.interface).number(selector.user);
}

// The soft limits are left out: IKE daemons draw them at random.
void encode(const Lifetime& lifetime, CborWriter& out) {
  out.array(4).number(lifetime.hard_bytes).number(lifetime.hard_packets);
  out.number(lifetime.hard_seconds).number(lifetime.hard_use_seconds);
}

// The interface's number differs from boot to boot.
void encode(const std::optional<Offload>& offload, CborWriter& out) {
  offload ? out.number(offload->flags) : out.null();
}

void encode(std::vector<Opaque> unknown, CborWriter& out) {
  std::stable_sort(unknown.begin(), unknown.end(),
                   [](const Opaque& a, const Opaque& b) { return a.type < b.type; });
  out.array(unknown.size());
  for (const Opaque& one : unknown) out.array(2).number(one.type).bytes(one.value);
}

// Names of a kernel are no UTF-8 by themselves.
void encode_name(std::string_view name, CborWriter& out) {
  out.bytes({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
}

void encode(const std::optional<Algorithm>& algorithm, bool authenticates, CborWriter& out) {
  if (!algorithm) {
    out.null();
    return;
  }
  const bool usual = authenticates && algorithm->icv_bits == 0;
  out.array(3);
  encode_name(algorithm->name, out);
  out.number(algorithm->key_bits);
  out.number(usual ? default_icv_bits(algorithm->name) : algorithm->icv_bits);
}

void encode_end(const Address& address, bool told, CborWriter& out) {
  told ? out.bytes(address.view()) : out.null();
}

void encode(const Template& wanted, const Unagreed& unagreed, CborWriter& out) {
  const bool looked_at = wanted.mode != Mode::transport;
  out.array(9).number(wanted.protocol).number(static_cast<std::uint64_t>(wanted.mode));
  out.boolean(wanted.optional).number(static_cast<std::uint64_t>(wanted.share));
  encode_end(wanted.source, looked_at && !unagreed.source, out);
  encode_end(wanted.destination, looked_at && !unagreed.destination, out);
  out.number(wanted.authentications).number(wanted.encryptions).number(wanted.compressions);
}

}  // namespace

void encode(const Policy& policy, std::size_t level, const Unagreed& unagreed, CborWriter& out) {
  out.array(14).number(level).number(static_cast<std::uint64_t>(policy.direction));
  out.number(static_cast<std::uint64_t>(policy.type));
  encode(policy.selector, out);
  out.number(static_cast<std::uint64_t>(policy.action)).number(policy.flags);
  out.number(static_cast<std::uint64_t>(policy.share));
  out.array(policy.templates.size());
  for (const Template& one : policy.templates) encode(one, unagreed, out);
  encode(policy.mark, out);
  out.number(policy.interface_id);
  encode(policy.lifetime, out);
  encode(policy.offload, out);
  encode_name(policy.security_context, out);
  encode(policy.unknown, out);
}

void encode(const Sa& sa, bool inbound, const Unagreed& unagreed, CborWriter& out) {
  constexpr unsigned told_elsewhere = Sa::flag_any_family | Sa::flag_extended;
  out.array(23).boolean(inbound).number(sa.id.protocol);
  encode_end(sa.source, !unagreed.source, out);
  encode_end(sa.id.destination, !unagreed.destination, out);
  out.number(static_cast<std::uint64_t>(sa.mode));
  encode(sa.selector, out);
  out.number(sa.flags & ~told_elsewhere).number(sa.extra_flags);
  out.number(inbound ? sa.replay.window : 0);
  out.boolean(sa.replay.extended || (sa.flags & Sa::flag_extended) != 0);
  encode(sa.aead, false, out);
  encode(sa.encryption, false, out);
  encode(sa.authentication, true, out);
  encode(sa.compression, false, out);
  out.number(sa.encapsulation ? sa.encapsulation->type : 0);
  encode(sa.id.mark, out);
  encode(sa.output_mark, out);
  out.number(sa.interface_id).number(sa.tfc_pad);
  encode(sa.offload, out);
  encode(sa.lifetime, out);
  encode_name(sa.security_context, out);
  encode(sa.unknown, out);
}

}  // namespace cs::xfrm::canonical
