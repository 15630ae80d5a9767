// SPDX-License-Identifier: GPL-3.0-or-later
// A frame of a capture file, and where the IP packet is in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace cs::capture {

inline constexpr std::size_t max_frame = std::size_t{256} * 1024;

// As the registry of link types numbers them (LINKTYPE_…), and two numbers the BSDs have for raw.
enum class Link : std::uint16_t {
  null = 0,  // the address family in the byte order of who captured
  ethernet = 1,
  raw_12 = 12,
  raw_14 = 14,
  raw = 101,
  loop = 108,  // as null, in network byte order
  linux_cooked = 113,
  ipv4 = 228,
  ipv6 = 229,
  linux_cooked_2 = 276,
};

[[nodiscard]] bool is_known(Link link) noexcept;

struct Frame {
  std::uint32_t seconds = 0;  // since 1970
  std::uint32_t nanoseconds = 0;
  std::uint32_t original_size = 0;  // on the wire; at least bytes.size()
  Link link = Link::ethernet;
  ByteView bytes;

  // Whether the capture was told to keep only the beginning (its snaplen).
  [[nodiscard]] bool is_cut() const noexcept { return bytes.size() < original_size; }
};

enum class IpState : std::uint8_t {
  whole,      // all bytes its length field tells
  cut,        // the capture ends before
  malformed,  // its length or version cannot be, or the frame itself ends before
};

// The packet ends where its length field says: what follows is padding or a checksum of the link.
// Unless it is `whole`, the packet is all that is there.
struct IpInFrame {
  std::size_t offset = 0;
  std::size_t size = 0;
  IpState state = IpState::whole;
};

// nullopt: there is no IP in it (ARP, another encapsulation, a link we do not know). Behind
// Ethernet and Linux cooked headers up to two VLAN tags are passed over.
[[nodiscard]] std::optional<IpInFrame> find_ip(const Frame& frame) noexcept;

}  // namespace cs::capture
