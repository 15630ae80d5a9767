// SPDX-License-Identifier: GPL-3.0-or-later
// The MSS of TCP where no inner route can say how large a packet may be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cs::mtu {

// The largest TCP segment in a packet of `mtu` bytes without IP options (RFC 6691).
[[nodiscard]] std::uint16_t mss(bool ipv6, std::size_t mtu) noexcept;

// The MSS of TCP with one peer in transport mode, where no inner route can say it.
struct Clamp {
  bool ipv6 = false;
  std::string peer;  // its address, in text
  std::uint16_t mss = 0;
};

// Rules, without table and chain, that lower the MSS a TCP SYN offers, never raise it: of SYNs to
// the peer and from it. They belong into `output` and `input`; for iptables: of table mangle.
[[nodiscard]] std::vector<std::string> nft_clamp(const Clamp& clamp);
[[nodiscard]] std::vector<std::string> iptables_clamp(const Clamp& clamp);

}  // namespace cs::mtu
