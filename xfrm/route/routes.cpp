// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/route/routes.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "xfrm/route/link.h"
#include "xfrm/state_file.h"

namespace cs::rt {
namespace {

using netlink::Message;
using netlink::Request;

// More inner routes than anybody has; a limit for what one dump may make us hold.
constexpr std::size_t max_routes = max_remembered;
constexpr int dump_attempts = 5;
constexpr std::uint32_t least_mtu_v4 = 68;    // RFC 791
constexpr std::uint32_t least_mtu_v6 = 1280;  // RFC 8200
constexpr std::uint32_t largest_mtu = 65535;

std::uint8_t family_of(const Address& address) {
  return address.ipv6 ? AF_INET6 : AF_INET;
}

// The route packets to the peer take; with RTM_F_FIB_MATCH the entry of the table, without what the
// kernel makes of it, exceptions included.
Result<Route> route_to(Socket& socket, const Peer& peer, std::uint32_t flags) {
  const std::string tried = "asking for the route to " + peer.address.text();
  if (peer.source && peer.source->ipv6 != peer.address.ipv6) {
    return Error(ErrorKind::invalid, tried + ": its source is of the other family");
  }
  Request request(RTM_GETROUTE, 0);
  auto& fixed = request.fixed<rtmsg>();
  fixed.rtm_family = family_of(peer.address);
  fixed.rtm_dst_len = peer.address.bits();
  fixed.rtm_src_len = peer.source ? peer.source->bits() : std::uint8_t{0};
  fixed.rtm_flags = flags;
  request.put(RTA_DST, peer.address.view());
  if (peer.source) request.put(RTA_SRC, peer.source->view());
  if (peer.mark != 0) request.put_u32(RTA_MARK, peer.mark);
  std::optional<Route> found;
  CS_CHECK(socket.ask(std::move(request), tried, [&](const Message& message) -> Result<void> {
    if (message.header.nlmsg_type != RTM_NEWROUTE) return {};
    CS_TRY(found, parse_route(message.payload));
    return {};
  }));
  if (!found) return Error(ErrorKind::io, tried + ": no answer");
  return *found;
}

// Every route of one table and family that `wanted` wants.
template <class Wanted>
Result<std::vector<Route>> dump_once(Socket& socket, bool ipv6, std::uint32_t table,
                                     const Wanted& wanted) {
  Request request = Request::dump(RTM_GETROUTE);
  request.fixed<rtmsg>().rtm_family = ipv6 ? AF_INET6 : AF_INET;
  // Old kernels do not look at it, so the answer is looked through all the same.
  request.put_u32(RTA_TABLE, table);
  std::vector<Route> routes;
  const auto take = [&](const Message& message) -> Result<void> {
    if (message.header.nlmsg_type != RTM_NEWROUTE) return {};
    CS_TRY(Route route, parse_route(message.payload));
    const bool is_route = (route.flags & RTM_F_CLONED) == 0 && route.type == RTN_UNICAST;
    if (!is_route || route.key.table != table || !wanted(route)) return {};
    if (routes.size() == max_routes) {
      return Error(ErrorKind::limit, "more than " + std::to_string(max_routes) + " routes");
    }
    routes.push_back(std::move(route));
    return {};
  };
  CS_CHECK(socket.ask(std::move(request), "listing table " + std::to_string(table), take));
  return routes;
}

template <class Wanted>
Result<std::vector<Route>> dump(Socket& socket, bool ipv6, std::uint32_t table,
                                const Wanted& wanted) {
  for (int attempt = 1;; ++attempt) {
    auto routes = dump_once(socket, ipv6, table, wanted);
    // That table is not there: it has no routes.
    if (!routes.ok() && routes.error().os_error() == ENOENT) return std::vector<Route>();
    if (routes.ok() || routes.error().kind() != ErrorKind::busy || attempt == dump_attempts) {
      return routes;
    }
  }
}

Result<void> check_mtu(const RouteKey& key, std::uint32_t mtu) {
  const std::uint32_t least = key.destination.address.ipv6 ? least_mtu_v6 : least_mtu_v4;
  if (mtu >= least && mtu <= largest_mtu) return {};
  return Error(ErrorKind::invalid, "an MTU of " + std::to_string(mtu) + " for " + key.text() +
                                       ": it must be " + std::to_string(least) + " to " +
                                       std::to_string(largest_mtu));
}

}  // namespace

Result<PathMtu> path_mtu(Socket& socket, const Peer& peer) {
  CS_TRY(const Route route, route_to(socket, peer, 0));
  if (route.type != RTN_UNICAST && route.type != RTN_LOCAL) {
    return Error(ErrorKind::not_found, "the route to " + peer.address.text() + " leads nowhere");
  }
  CS_TRY(const LinkMtu link, link_mtu(socket, route.interface));
  const std::uint32_t most = peer.address.ipv6 ? link.ipv6 : link.ipv4;
  return PathMtu{route.mtu == 0 ? most : std::min(route.mtu, most), route.interface,
                 route.mtu != 0 && route.expires};
}

Result<std::optional<PathMtu>> PathMtuWatch::poll(Socket& socket) {
  CS_TRY(const PathMtu now, path_mtu(socket, peer_));
  if (last_ == now) return std::optional<PathMtu>();
  last_ = now;
  return last_;
}

Result<InnerRoutes> InnerRoutes::open(Socket socket, std::string state_file) {
  CS_TRY(UniqueFd held, hold_state_file(state_file, "nfq-signer"));
  CS_TRY(auto memory, read_memory(state_file));
  return InnerRoutes(std::move(socket), std::move(state_file), std::move(held), std::move(memory));
}

Result<std::vector<Route>> InnerRoutes::list(std::span<const Prefix> inner,
                                             std::span<const std::uint32_t> tables) {
  const auto in_tunnel = [&](const Route& route) {
    return std::any_of(inner.begin(), inner.end(),
                       [&](const Prefix& p) { return p.contains(route.key.destination); });
  };
  std::vector<Route> all;
  for (const bool ipv6 : {false, true}) {
    if (std::none_of(inner.begin(), inner.end(),
                     [&](const Prefix& p) { return p.address.ipv6 == ipv6; })) {
      continue;
    }
    for (const std::uint32_t table : tables) {
      CS_TRY(auto found, dump(socket_, ipv6, table, in_tunnel));
      std::move(found.begin(), found.end(), std::back_inserter(all));
    }
  }
  return all;
}

// The kernel replaces the first route with that key, so there may be one only.
Result<Route> InnerRoutes::find(const RouteKey& key) {
  CS_TRY(auto found, dump(socket_, key.destination.address.ipv6, key.table,
                          [&](const Route& route) { return route.key == key; }));
  if (found.empty()) return Error(ErrorKind::not_found, "the route " + key.text() + " has gone");
  if (found.size() > 1) {
    return Error(ErrorKind::unsupported,
                 "the route " + key.text() + " is there " + std::to_string(found.size()) + " times")
        .with_hint("give each a metric of its own, or use one route with several nexthops");
  }
  return std::move(found.front());
}

Result<void> InnerRoutes::refuse_peers(const RouteKey& key, std::span<const Peer> peers) {
  for (const Peer& peer : peers) {
    if (peer.address.ipv6 != key.destination.address.ipv6) continue;
    const std::uint32_t real_table = peer.address.ipv6 ? 0 : RTM_F_LOOKUP_TABLE;  // IPv6 always is
    const auto taken = route_to(socket_, peer, RTM_F_FIB_MATCH | real_table);
    // No route to a peer is no reason: then nothing we do can harm it.
    if (!taken.ok() &&
        (taken.error().os_error() == ENETUNREACH || taken.error().os_error() == EHOSTUNREACH)) {
      continue;
    }
    if (!taken.ok()) return taken.error();
    if (taken->key.table != key.table || !(taken->key.destination == key.destination)) continue;
    return Error(ErrorKind::denied, "setting the MTU of " + key.text() + ": the peer " +
                                        peer.address.text() + " is reached by it")
        .with_hint(
            "give the tunnel's inner network a route of its own; in transport mode clamp the MSS");
  }
  return {};
}

// Written before the route changes, so that there is never a change nobody remembers.
Result<void> InnerRoutes::remember(const Route& now, std::uint32_t mtu) {
  std::vector<Remembered> memory = memory_;
  const auto known = std::find_if(memory.begin(), memory.end(),
                                  [&](const Remembered& r) { return r.key == now.key; });
  if (known == memory.end()) {
    memory.push_back({now.key, now.mtu, {mtu, mtu}});
  } else if (known->is_ours(now.mtu)) {
    known->ours = {mtu, now.mtu};
  } else {  // somebody else changed it meanwhile: that is what is to be put back
    *known = {now.key, now.mtu, {mtu, mtu}};
  }
  CS_CHECK(write_memory(state_file_, memory));
  memory_ = std::move(memory);
  return {};
}

Result<void> InnerRoutes::replace(const Route& route, std::uint32_t mtu) {
  return socket_.tell(replace_request(route, mtu),
                      "setting the MTU of " + route.key.text() + " to " +
                          (mtu == 0 ? "that of its interface" : std::to_string(mtu)));
}

Result<void> InnerRoutes::set_mtu(const RouteKey& key, std::uint32_t mtu,
                                  std::span<const Peer> peers) {
  CS_CHECK(check_mtu(key, mtu));
  CS_TRY(const Route now, find(key));
  if (now.mtu == mtu) return {};
  if (!now.obstacle.empty()) {
    return Error(ErrorKind::unsupported, "setting the MTU of " + key.text() + ": " + now.obstacle);
  }
  CS_CHECK(refuse_peers(key, peers));
  CS_CHECK(remember(now, mtu));
  return replace(now, mtu);
}

Result<void> InnerRoutes::put_back(const Remembered& route) {
  const auto now = find(route.key);
  if (!now.ok() && now.error().kind() == ErrorKind::not_found) return {};
  if (!now.ok()) return now.error();
  if (!route.is_ours(now->mtu) || now->mtu == route.original) return {};
  if (!now->obstacle.empty()) {
    return Error(ErrorKind::unsupported,
                 "putting back the MTU of " + route.key.text() + ": " + now->obstacle);
  }
  return replace(*now, route.original);
}

Result<void> InnerRoutes::restore(const RouteKey& key) {
  const auto known = std::find_if(memory_.begin(), memory_.end(),
                                  [&](const Remembered& r) { return r.key == key; });
  if (known == memory_.end()) return {};
  CS_CHECK(put_back(*known));
  memory_.erase(known);
  return write_memory(state_file_, memory_);
}

Result<void> InnerRoutes::restore_all() {
  std::vector<Remembered> failed;
  std::optional<Error> first;
  for (const Remembered& route : memory_) {
    const Result<void> done = put_back(route);
    if (done.ok()) continue;
    failed.push_back(route);
    if (!first) first = done.error();
  }
  memory_ = std::move(failed);
  CS_CHECK(write_memory(state_file_, memory_));
  return first ? Result<void>(*first) : Result<void>();
}

}  // namespace cs::rt
