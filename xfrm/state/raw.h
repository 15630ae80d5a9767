// SPDX-License-Identifier: GPL-3.0-or-later
// The model's values in the kernel's structures. For the files that make requests.
#pragma once

#include <arpa/inet.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include <cstring>

#include "base/bytes.h"
#include "xfrm/netlink/message.h"
#include "xfrm/state/model.h"

namespace cs::xfrm::raw {

template <class T>
[[nodiscard]] ByteView bytes_of(const T& value) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof(value)};
}

[[nodiscard]] inline std::uint16_t family(const Address& address) noexcept {
  return address.ipv6 ? AF_INET6 : AF_INET;
}

[[nodiscard]] inline xfrm_address_t address(const Address& from) noexcept {
  static_assert(sizeof(xfrm_address_t) == sizeof(from.bytes));
  xfrm_address_t out{};
  std::memcpy(&out, from.bytes.data(), sizeof(out));
  return out;
}

[[nodiscard]] inline xfrm_selector selector(const Selector& from) noexcept {
  xfrm_selector out{};
  if (from.any_family) return out;
  out.family = family(from.source.address);
  out.saddr = address(from.source.address);
  out.daddr = address(from.destination.address);
  out.prefixlen_s = from.source.length;
  out.prefixlen_d = from.destination.length;
  out.proto = from.protocol;
  out.sport = htons(from.source_ports.port);
  out.sport_mask = htons(from.source_ports.mask);
  out.dport = htons(from.destination_ports.port);
  out.dport_mask = htons(from.destination_ports.mask);
  out.ifindex = static_cast<int>(from.interface);
  out.user = from.user;
  return out;
}

[[nodiscard]] inline xfrm_lifetime_cfg lifetime(const Lifetime& from) noexcept {
  return {from.soft_bytes,   from.hard_bytes,   from.soft_packets,     from.hard_packets,
          from.soft_seconds, from.hard_seconds, from.soft_use_seconds, from.hard_use_seconds};
}

inline void put_mark(netlink::Request& request, const Mark& mark) {
  const xfrm_mark out{mark.value, mark.mask};
  if (mark.value != 0 || mark.mask != 0) request.put(XFRMA_MARK, bytes_of(out));
}

inline void put_offload(netlink::Request& request, const std::optional<Offload>& offload) {
  if (!offload) return;
  const xfrm_user_offload out{static_cast<int>(offload->interface), offload->flags};
  request.put(XFRMA_OFFLOAD_DEV, bytes_of(out));
}

inline void put_interface(netlink::Request& request, std::uint32_t interface_id) {
  if (interface_id != 0) request.put_u32(XFRMA_IF_ID, interface_id);
}

// A request that only names an SA.
[[nodiscard]] inline netlink::Request about(std::uint16_t type, const SaId& id) {
  netlink::Request request(type, 0);
  auto& fixed = request.fixed<xfrm_usersa_id>();
  fixed.daddr = address(id.destination);
  fixed.spi = htonl(id.spi);
  fixed.family = family(id.destination);
  fixed.proto = id.protocol;
  put_mark(request, id.mark);
  return request;
}

}  // namespace cs::xfrm::raw
