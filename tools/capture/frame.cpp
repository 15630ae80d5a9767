// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/capture/frame.h"

#include <algorithm>
#include <array>

namespace cs::capture {

namespace {

constexpr std::uint16_t ethertype_ipv4 = 0x0800;
constexpr std::uint16_t ethertype_ipv6 = 0x86dd;
constexpr std::array<std::uint16_t, 3> ethertypes_vlan{0x8100, 0x88a8, 0x9100};
constexpr int max_vlan_tags = 2;
constexpr std::size_t v4_header = 20;
constexpr std::size_t v6_header = 40;

// What the link says follows.
struct Network {
  std::size_t offset = 0;
  unsigned version = 0;  // of IP; 0: the packet itself says it
};

// `reader` stands behind the type.
std::optional<Network> behind_ethertype(ByteReader reader, std::uint16_t type) {
  const auto is_vlan = [](std::uint16_t t) {
    return std::find(ethertypes_vlan.begin(), ethertypes_vlan.end(), t) != ethertypes_vlan.end();
  };
  for (int tags = 0; is_vlan(type); ++tags) {
    if (tags == max_vlan_tags || !reader.skip(2) || !reader.u16be(type)) return std::nullopt;
  }
  if (type == ethertype_ipv4) return Network{reader.position(), 4};
  if (type == ethertype_ipv6) return Network{reader.position(), 6};
  return std::nullopt;
}

// Linux and the BSDs agree on IPv4's number only.
std::optional<Network> behind_family(std::uint32_t family) {
  switch (family) {
    case 2:
      return Network{4, 4};
    case 10:
    case 24:
    case 28:
    case 30:
      return Network{4, 6};
    default:
      return std::nullopt;
  }
}

std::optional<Network> behind_cooked(ByteReader reader, Link link) {
  std::uint16_t type = 0;
  const bool there = link == Link::linux_cooked ? reader.skip(14) && reader.u16be(type)
                                                : reader.u16be(type) && reader.skip(18);
  if (!there) return std::nullopt;
  return behind_ethertype(reader, type);
}

std::optional<Network> find_network(Link link, ByteView bytes) {
  ByteReader reader(bytes);
  std::uint16_t type = 0;
  std::uint32_t big = 0;
  std::uint32_t little = 0;
  switch (link) {
    case Link::ethernet:
      if (!reader.skip(12) || !reader.u16be(type)) return std::nullopt;
      return behind_ethertype(reader, type);
    case Link::linux_cooked:
    case Link::linux_cooked_2:
      return behind_cooked(reader, link);
    case Link::null: {
      ByteReader again = reader;
      if (!reader.u32be(big) || !again.u32le(little)) return std::nullopt;
      return behind_family(std::min(big, little));
    }
    case Link::loop:
      if (!reader.u32be(big)) return std::nullopt;
      return behind_family(big);
    case Link::raw:
    case Link::raw_12:
    case Link::raw_14:
      return Network{0, 0};
    case Link::ipv4:
      return Network{0, 4};
    case Link::ipv6:
      return Network{0, 6};
  }
  return std::nullopt;
}

// What the IP header says its packet has; 0 if it is none of the version wanted.
std::size_t told_size(ByteView packet, unsigned version) {
  const unsigned found = packet.empty() ? 0 : packet[0] >> 4U;
  if (version != 0 && found != version) return 0;
  ByteReader reader(packet);
  std::uint16_t length = 0;
  if (found == 4 && packet.size() >= v4_header && reader.skip(2) && reader.u16be(length))
    return length < v4_header ? 0 : length;
  if (found == 6 && packet.size() >= v6_header && reader.skip(4) && reader.u16be(length))
    return v6_header + length;
  return 0;
}

}  // namespace

bool is_known(Link link) noexcept {
  switch (link) {
    case Link::null:
    case Link::ethernet:
    case Link::raw_12:
    case Link::raw_14:
    case Link::raw:
    case Link::loop:
    case Link::linux_cooked:
    case Link::ipv4:
    case Link::ipv6:
    case Link::linux_cooked_2:
      return true;
  }
  return false;
}

std::optional<IpInFrame> find_ip(const Frame& frame) noexcept {
  const auto network = find_network(frame.link, frame.bytes);
  if (!network) return std::nullopt;
  const ByteView packet = frame.bytes.subspan(network->offset);
  const std::size_t told = told_size(packet, network->version);
  if (told != 0 && told <= packet.size()) return IpInFrame{network->offset, told, IpState::whole};
  // Of a packet whose header is cut as well nothing is known, but that it was cut.
  const bool header_is_cut = packet.size() < v6_header && told == 0;
  const bool is_cut = frame.is_cut() && (told > packet.size() || header_is_cut);
  return IpInFrame{network->offset, packet.size(), is_cut ? IpState::cut : IpState::malformed};
}

}  // namespace cs::capture
