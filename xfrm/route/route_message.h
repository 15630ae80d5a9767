// SPDX-License-Identifier: GPL-3.0-or-later
// A route as the kernel tells it, and the request that puts it back with another MTU and everything
// else as it was. Plain functions over bytes, no sockets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "xfrm/address.h"
#include "xfrm/netlink/message.h"

namespace cs::rt {

using net::Address;
using net::Prefix;

// What names a route for the kernel.
struct RouteKey {
  Prefix destination;
  std::uint32_t table = 0;
  std::uint32_t priority = 0;  // the metric of `ip route`
  std::uint8_t tos = 0;

  bool operator==(const RouteKey&) const = default;
  [[nodiscard]] std::string text() const;
};

struct Route {
  RouteKey key;
  std::uint32_t interface = 0;  // 0: several, or none
  std::uint32_t mtu = 0;        // its own; 0: it has none, the interface's counts
  std::uint32_t flags = 0;      // RTM_F_…, RTNH_F_…
  std::uint8_t protocol = 0;
  std::uint8_t scope = 0;
  std::uint8_t type = 0;
  bool expires = false;
  // Why we cannot put it back as it was; empty: we can.
  std::string obstacle;
  // What a replacement repeats, as the kernel sent it: all but the metrics, and these without MTU.
  std::vector<std::uint8_t> attributes;
  std::vector<std::uint8_t> metrics;
};

// Reads the payload of an RTM_NEWROUTE. Fails for what is not a whole IPv4 or IPv6 route.
Result<Route> parse_route(ByteView payload);

// Replaces the route by itself with `mtu`; 0: without one of its own. Only without an obstacle.
netlink::Request replace_request(const Route& route, std::uint32_t mtu);

}  // namespace cs::rt
