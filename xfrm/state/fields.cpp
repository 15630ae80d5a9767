// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/state/fields.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>

namespace cs::xfrm::fields {
namespace {

constexpr std::size_t max_unknown = 32;

}  // namespace

Result<Address> address(const xfrm_address_t& raw, std::uint16_t family) {
  if (family != AF_INET && family != AF_INET6) {
    return broken("an address of family " + std::to_string(family));
  }
  Address out;
  out.ipv6 = family == AF_INET6;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&raw);
  std::copy_n(bytes, out.ipv6 ? 16 : 4, out.bytes.begin());
  return out;
}

Result<Prefix> prefix(const xfrm_address_t& raw, std::uint16_t family, std::uint8_t length) {
  CS_TRY(const Address whole, address(raw, family));
  if (length > whole.bits()) {
    return broken("a prefix of " + std::to_string(length) + " bits");
  }
  Prefix out{whole, length};
  for (std::size_t i = 0; i < out.address.bytes.size(); ++i) {
    const std::size_t kept = std::min<std::size_t>(8, length > i * 8 ? length - i * 8 : 0);
    out.address.bytes.at(i) &= static_cast<std::uint8_t>(0xff00U >> kept);
  }
  return out;
}

Result<Selector> selector(const xfrm_selector& raw) {
  Selector out;
  if (raw.family == AF_UNSPEC) {
    out.any_family = true;  // then the kernel looks at nothing else of it
    return out;
  }
  CS_TRY(out.source, prefix(raw.saddr, raw.family, raw.prefixlen_s));
  CS_TRY(out.destination, prefix(raw.daddr, raw.family, raw.prefixlen_d));
  out.protocol = raw.proto;
  out.source_ports = {ntohs(raw.sport), ntohs(raw.sport_mask)};
  out.destination_ports = {ntohs(raw.dport), ntohs(raw.dport_mask)};
  out.interface = static_cast<std::uint32_t>(raw.ifindex);
  out.user = raw.user;
  return out;
}

Lifetime lifetime(const xfrm_lifetime_cfg& raw) {
  return {raw.soft_byte_limit,          raw.hard_byte_limit,          raw.soft_packet_limit,
          raw.hard_packet_limit,        raw.soft_add_expires_seconds, raw.hard_add_expires_seconds,
          raw.soft_use_expires_seconds, raw.hard_use_expires_seconds};
}

Usage usage(const xfrm_lifetime_cur& raw) {
  return {raw.bytes, raw.packets, raw.add_time, raw.use_time};
}

Result<Mode> mode(std::uint8_t raw) {
  if (raw > static_cast<std::uint8_t>(Mode::iptfs)) {
    return broken("mode " + std::to_string(raw) + ", which this program does not know");
  }
  return static_cast<Mode>(raw);
}

Result<Share> share(std::uint8_t raw) {
  if (raw > static_cast<std::uint8_t>(Share::unique)) {
    return broken("share " + std::to_string(raw) + ", which this program does not know");
  }
  return static_cast<Share>(raw);
}

Result<Mark> mark(const netlink::Attribute& attribute) {
  CS_TRY(const auto raw, number<xfrm_mark>(attribute));
  return Mark{raw.v, raw.m};
}

Result<Offload> offload(const netlink::Attribute& attribute) {
  CS_TRY(const auto raw, number<xfrm_user_offload>(attribute));
  return Offload{static_cast<std::uint32_t>(raw.ifindex), raw.flags};
}

Result<std::string> security_context(const netlink::Attribute& attribute) {
  CS_TRY(const auto head, structure<xfrm_user_sec_ctx>(attribute.value, "a security context"));
  const ByteView text = attribute.value.subspan(sizeof(head));
  if (head.ctx_len > text.size()) return broken("a security context ends early");
  return std::string(text.begin(), std::find(text.begin(), text.begin() + head.ctx_len, 0));
}

Result<void> keep_unknown(const netlink::Attribute& attribute, std::vector<Opaque>& out) {
  if (out.size() == max_unknown) return broken("too many attributes nobody knows");
  out.push_back({attribute.type, {attribute.value.begin(), attribute.value.end()}});
  return {};
}

}  // namespace cs::xfrm::fields
