// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/packet/classify.h"

#include <algorithm>

#include "base/bytes.h"

namespace cs::packet {

namespace {

constexpr std::uint8_t hop_by_hop = 0;
constexpr std::uint8_t udp = 17;
constexpr std::uint8_t routing = 43;
constexpr std::uint8_t fragment = 44;
constexpr std::uint8_t destination_options = 60;
constexpr int max_extension_headers = 8;  // as find_layout()

// What is known of a packet that find_layout() did not like.
struct Upper {
  std::uint8_t protocol = 0;
  bool is_first_fragment = true;
  ByteView bytes;  // from its header on, as far as they are there
};

// False: the packet ends before its protocol is told.
bool find_upper_v4(ByteView packet, Upper& out) {
  if (packet.size() < 20) return false;
  const std::size_t header = (packet[0] & 0xfU) * std::size_t{4};
  out.protocol = packet[9];
  out.is_first_fragment = (packet[6] & 0x1fU) == 0 && packet[7] == 0;
  out.bytes = packet.subspan(std::min(header, packet.size()));
  return true;
}

bool find_upper_v6(ByteView packet, Upper& out) {
  if (packet.size() < 40) return false;
  out.protocol = packet[6];
  out.bytes = packet.subspan(40);
  for (int passed = 0; passed < max_extension_headers; ++passed) {
    const bool is_extension = out.protocol == hop_by_hop || out.protocol == routing ||
                              out.protocol == fragment || out.protocol == destination_options;
    if (!is_extension) return true;
    if (out.bytes.size() < 8) return false;
    std::size_t size = 8;
    if (out.protocol == fragment) {
      out.is_first_fragment = out.bytes[2] == 0 && (out.bytes[3] & 0xf8U) == 0;
    } else {
      size = (out.bytes[1] + std::size_t{1}) * 8;
    }
    out.protocol = out.bytes[0];
    // Behind the header of a later fragment no header follows that would say more.
    if (!out.is_first_fragment) return true;
    if (out.bytes.size() < size) return false;
    out.bytes = out.bytes.subspan(size);
  }
  return false;
}

bool may_be_ipsec(ByteView packet, std::span<const std::uint16_t> udp_ports) {
  const unsigned version = packet.empty() ? 0 : packet[0] >> 4U;
  Upper upper;
  const bool found = version == 4   ? find_upper_v4(packet, upper)
                     : version == 6 ? find_upper_v6(packet, upper)
                                    : false;
  if (!found) return true;
  if (upper.protocol == static_cast<std::uint8_t>(Protocol::esp) ||
      upper.protocol == static_cast<std::uint8_t>(Protocol::ah)) {
    return true;
  }
  // A later fragment tells no port: the first one, which does, decides.
  if (upper.protocol != udp || !upper.is_first_fragment) return false;
  ByteReader reader(upper.bytes);
  std::uint16_t source = 0;
  std::uint16_t target = 0;
  if (!reader.u16be(source) || !reader.u16be(target)) return true;
  // As find_layout(): no port means any.
  return udp_ports.empty() ||
         std::any_of(udp_ports.begin(), udp_ports.end(),
                     [&](std::uint16_t port) { return port == source || port == target; });
}

}  // namespace

Classified classify(const capture::Frame& frame, std::span<const std::uint16_t> udp_ports,
                    std::uint16_t translator_port) noexcept {
  Classified out;
  const auto ip = capture::find_ip(frame);
  if (!ip) return out;
  out.ip = *ip;
  const ByteView packet = frame.bytes.subspan(ip->offset, ip->size);
  out.reason = Reason::malformed;
  if (ip->state == capture::IpState::whole) {
    out.reason = find_layout(packet, udp_ports, out.layout);
    if (out.reason == Reason::none) out.kind = Kind::ipsec;
    if (out.reason == Reason::none || out.reason == Reason::not_ipsec) return out;
  }
  const std::span translator(&translator_port, 1);
  if (may_be_ipsec(packet, udp_ports) ||
      (translator_port != 0 && may_be_ipsec(packet, translator))) {
    out.kind = ip->state == capture::IpState::cut ? Kind::cut : Kind::refused;
  }
  return out;
}

Reason translate_back(std::uint16_t translator_port, capture::Frame& frame,
                      std::vector<std::uint8_t>& memory) {
  const auto ip = capture::find_ip(frame);
  if (translator_port == 0 || !ip || ip->state != capture::IpState::whole) return Reason::none;
  memory.assign(frame.bytes.begin(), frame.bytes.end());
  ByteSpan packet = ByteSpan(memory).subspan(ip->offset, ip->size);
  const Reason reason = cs::translate_back(translator_port, packet);
  const std::size_t less = ip->size - packet.size();
  if (reason != Reason::none || less == 0) return reason;
  const auto end_of_link = memory.begin() + static_cast<std::ptrdiff_t>(ip->offset);
  std::copy_backward(memory.begin(), end_of_link, end_of_link + static_cast<std::ptrdiff_t>(less));
  frame.bytes = ByteView(memory).subspan(less);
  frame.original_size -= static_cast<std::uint32_t>(less);
  return Reason::none;
}

}  // namespace cs::packet
