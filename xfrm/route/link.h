// SPDX-License-Identifier: GPL-3.0-or-later
// How much an interface takes at once.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "xfrm/netlink/socket.h"

namespace cs::rt {

struct LinkMtu {
  std::uint32_t ipv4 = 0;
  std::uint32_t ipv6 = 0;  // what IPv6 uses on this link: a router may have announced less
};
Result<LinkMtu> link_mtu(netlink::Socket& socket, std::uint32_t interface);

// Reads the answer to a question for a link. Fails unless it is one.
Result<LinkMtu> parse_link_mtu(ByteView payload);

}  // namespace cs::rt
