// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/gate/sa_of.h"

#include <netinet/in.h>

#include <algorithm>

namespace cs::xfrm {
namespace {

struct Outer {
  net::Address destination;
  std::uint8_t protocol = 0;
};

std::optional<Outer> outer_ipv4(ByteReader& in, std::uint8_t first) noexcept {
  constexpr std::size_t fixed = 20;
  constexpr std::uint16_t fragment = 0x3fff;  // more of them, or not the first
  const std::size_t header = std::size_t{first & 0xfU} * 4;
  Outer out;
  std::uint16_t offset = 0;
  if (header < fixed || !in.skip(5) || !in.u16be(offset) || (offset & fragment) != 0 ||
      !in.skip(1) || !in.u8(out.protocol) || !in.skip(6) ||
      !in.copy_to(ByteSpan(out.destination.bytes).first(4)) || !in.skip(header - fixed)) {
    return std::nullopt;
  }
  return out;
}

std::optional<Outer> outer_ipv6(ByteReader& in) noexcept {
  Outer out;
  out.destination.ipv6 = true;
  if (!in.skip(5) || !in.u8(out.protocol) || !in.skip(1 + 16) ||
      !in.copy_to(out.destination.bytes)) {
    return std::nullopt;
  }
  return out;
}

}  // namespace

std::optional<SaName> sa_of(ByteView packet) noexcept {
  constexpr std::size_t udp_header = 8;
  constexpr std::size_t before_spi_of_ah = 4;
  ByteReader in(packet);
  std::uint8_t first = 0;
  if (!in.u8(first)) return std::nullopt;
  const unsigned version = first >> 4U;
  const auto outer = version == 4   ? outer_ipv4(in, first)
                     : version == 6 ? outer_ipv6(in)
                                    : std::nullopt;
  if (!outer) return std::nullopt;
  SaName sa{outer->destination, outer->protocol, 0};
  const bool is_udp = sa.protocol == IPPROTO_UDP;
  if (is_udp) sa.protocol = IPPROTO_ESP;
  if (sa.protocol != IPPROTO_ESP && sa.protocol != IPPROTO_AH) return std::nullopt;
  const std::size_t before = is_udp ? udp_header : sa.protocol == IPPROTO_AH ? before_spi_of_ah : 0;
  // An SPI of 0 in UDP is the marker of IKE; no SA has it.
  if (!in.skip(before) || !in.u32be(sa.spi) || sa.spi == 0) return std::nullopt;
  return sa;
}

}  // namespace cs::xfrm
