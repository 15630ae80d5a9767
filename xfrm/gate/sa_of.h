// SPDX-License-Identifier: GPL-3.0-or-later
// Which SA a packet names, read from its headers. For packets the gate has sorted out already; what
// is more complicated than what kernels send is nobody's.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "xfrm/address.h"

namespace cs::xfrm {

struct NamedSa {
  net::Address destination;
  std::uint8_t protocol = 0;  // ESP, also of ESP in UDP, or AH
  std::uint32_t spi = 0;
  bool operator==(const NamedSa&) const = default;
};

// nullopt: a fragment, IPv6 with extension headers, IKE, a keepalive, or nothing that names an SA.
std::optional<NamedSa> sa_of(ByteView packet) noexcept;

}  // namespace cs::xfrm
