// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/netns/rules_packets.h"

#include <algorithm>
#include <stdexcept>

namespace cs::test {
namespace {

constexpr std::uint16_t kPort = 4500;
constexpr std::uint16_t kOther = 33333;

const Bytes kEsp{0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8};
// SPI 0x100, sequence number 1, an ICV of 12 bytes, then "no next header" (59).
const Bytes kAh{59, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
const Bytes kIke{0, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd, 1, 2, 3, 4, 5, 6, 7, 8};

// Without a checksum, which IPv4 allows and no rule looks at.
Bytes udp(std::uint16_t source, std::uint16_t target, const Bytes& payload) {
  const auto size = static_cast<std::uint16_t>(8 + payload.size());
  Bytes datagram;
  for (const std::uint16_t number : {source, target, size, std::uint16_t{0}}) {
    datagram.push_back(static_cast<std::uint8_t>(number >> 8U));
    datagram.push_back(static_cast<std::uint8_t>(number));
  }
  datagram.insert(datagram.end(), payload.begin(), payload.end());
  return datagram;
}

Bytes udp(Side side, std::uint16_t ours, const Bytes& payload) {
  return side == Side::source ? udp(ours, kOther, payload) : udp(kOther, ours, payload);
}

}  // namespace

std::vector<IpsecPackets::Named> IpsecPackets::signed_ones(Side side) const {
  return {
      {"ESP", esp()},
      {"AH", make(kProtocolAh, kAh)},
      {"ESP in UDP", make(kProtocolUdp, udp(side, kPort, kEsp))},
      {"ESP in UDP, four bytes", make(kProtocolUdp, udp(side, kPort, {0, 0, 0, 1}))},
      {"ESP behind options", make_with_options(kProtocolEsp, kEsp)},
      {"AH behind options", make_with_options(kProtocolAh, kAh)},
      {"ESP in UDP behind options", make_with_options(kProtocolUdp, udp(side, kPort, kEsp))},
  };
}

std::vector<IpsecPackets::Named> IpsecPackets::foreign_ones(Side side) const {
  const Side other = side == Side::source ? Side::target : Side::source;
  return {
      {"IKE", make(kProtocolUdp, udp(side, kPort, kIke))},
      {"keepalive", make(kProtocolUdp, udp(side, kPort, {0xff}))},
      {"three bytes", make(kProtocolUdp, udp(side, kPort, {1, 2, 3}))},
      {"empty datagram", make(kProtocolUdp, udp(side, kPort, {}))},
      {"another port", make(kProtocolUdp, udp(side, 4501, kEsp))},
      {"IKE's first port", make(kProtocolUdp, udp(side, 500, kEsp))},
      {"only the peer's port", make(kProtocolUdp, udp(other, kPort, kEsp))},
      // Ports as UDP's would be, and the same bytes behind them.
      {"TCP", make(kProtocolTcp, udp(side, kPort, kEsp))},
  };
}

Bytes IpsecPackets::esp() const {
  return make(kProtocolEsp, kEsp);
}

Bytes IpsecPackets::udp_esp(std::uint16_t source, std::uint16_t target) const {
  return make(kProtocolUdp, udp(source, target, kEsp));
}

Bytes IpsecPackets::last() const {
  return make(kProtocolLast, {1, 2, 3, 4});
}

Bytes IpsecPackets::make(std::uint8_t protocol, const Bytes& payload) const {
  Bytes packet = esp_packet({.source = source_, .target = target_, .body = 0});
  const std::size_t header = family_ == Family::v4 ? 20 : 40;
  const auto change = static_cast<std::ptrdiff_t>(header + payload.size()) -
                      static_cast<std::ptrdiff_t>(packet.size());
  packet[family_ == Family::v4 ? 9 : 6] = protocol;
  if (!resize_packet(packet, change)) throw std::logic_error("a packet of impossible size");
  std::ranges::copy(payload, packet.begin() + static_cast<std::ptrdiff_t>(header));
  return packet;
}

Bytes IpsecPackets::make_with_options(std::uint8_t protocol, const Bytes& payload) const {
  // 16 bytes, most of them zero, where IKE's marker is in a packet without options.
  Bytes longer(16);
  if (family_ == Family::v4) {
    std::ranges::fill_n(longer.begin(), 8, std::uint8_t{1});  // "no operation"; zero is the end
  } else {
    std::ranges::copy(Bytes{protocol, 1, 1, 12}, longer.begin());  // filled with PadN
  }
  longer.insert(longer.end(), payload.begin(), payload.end());
  if (family_ == Family::v6) return make(kProtocolOptions, longer);
  Bytes packet = make(protocol, longer);
  packet[0] = 0x49;
  if (!resize_packet(packet, 0)) throw std::logic_error("an IPv4 header with options");
  return packet;
}

}  // namespace cs::test
