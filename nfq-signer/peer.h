// SPDX-License-Identifier: GPL-3.0-or-later
// Whom a packet goes to or comes from, by the outer addresses.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "nfq-signer/packet.h"

namespace cs {

// What happens to packets of a peer that cannot be verified, and whether ours to it are signed.
enum class Mode : std::uint8_t { enforce, audit, sign_only, off };

// IPv4 as ::ffff:a.b.c.d, so that both families compare alike.
using Address = std::array<std::uint8_t, 16>;

[[nodiscard]] inline Address mapped_address(ByteView bytes) noexcept {
  Address out{};
  if (bytes.size() == 4) out[10] = out[11] = 0xff;
  std::copy(bytes.begin(), bytes.end(), out.end() - static_cast<std::ptrdiff_t>(bytes.size()));
  return out;
}

// Of a packet find_layout() has accepted.
[[nodiscard]] inline Address source_of(const Layout& at, ByteView packet) noexcept {
  return mapped_address(at.ipv6 ? packet.subspan(8, 16) : packet.subspan(12, 4));
}
[[nodiscard]] inline Address destination_of(const Layout& at, ByteView packet) noexcept {
  return mapped_address(at.ipv6 ? packet.subspan(24, 16) : packet.subspan(16, 4));
}

// Whose packets travel inside UDP: docs/WIRE.md, section 11.
struct Translator {
  std::uint16_t port = 0;      // 0: nobody's
  std::vector<Address> peers;  // empty: everybody's

  [[nodiscard]] bool is_for(const Address& peer) const noexcept {
    return port != 0 &&
           (peers.empty() || std::find(peers.begin(), peers.end(), peer) != peers.end());
  }
};

// A peer, as both workers see it.
struct WorkerPeer {
  std::uint32_t id = 0;
  Mode mode = Mode::enforce;
  std::vector<Address> addresses;
};

}  // namespace cs
