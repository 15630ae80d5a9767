// SPDX-License-Identifier: GPL-3.0-or-later
// The MTU of inner routes, set and put back, and the path MTU to a peer. The route to the peer
// itself is never touched: packets that grew are held against its MTU, and lowering it would drop
// them all.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "xfrm/netlink/socket.h"
#include "xfrm/route/route_memory.h"
#include "xfrm/route/route_message.h"

namespace cs::rt {

using netlink::Socket;

// Where IKE daemons put a tunnel's routes: strongSwan's own table, and main.
inline constexpr std::uint32_t strongswan_table = 220;
inline constexpr std::uint32_t main_table = 254;

// The other gateway, as signed packets are sent to it.
struct Peer {
  Address address;
  std::uint32_t mark = 0;         // of these packets, for routing rules by mark
  std::optional<Address> source;  // likewise, for rules by source; same family
};

struct PathMtu {
  std::uint32_t mtu = 0;
  std::uint32_t interface = 0;
  bool learned = false;  // a router on the way said so, and the kernel will forget it
  bool operator==(const PathMtu&) const = default;
};

// What the kernel believes now, with what it learned from ICMP. `not_found` or `io`: no route.
Result<PathMtu> path_mtu(Socket& socket, const Peer& peer);

// The kernel tells nobody when it learns or forgets a path MTU, so this asks. It costs two
// questions to the kernel, some microseconds.
class PathMtuWatch {
 public:
  explicit PathMtuWatch(const Peer& peer) : peer_(peer) {}

  // What it is if it changed since the last time, and the first time. After a failure, which
  // changes nothing, the last one known stays.
  Result<std::optional<PathMtu>> poll(Socket& socket);
  [[nodiscard]] const std::optional<PathMtu>& last() const noexcept { return last_; }

 private:
  Peer peer_;
  std::optional<PathMtu> last_;
};

class InnerRoutes {
 public:
  // Reads what a predecessor remembered. The directory of `state_file` must be there, and nobody
  // else may write to it. One object at a time has it; for another this fails with `busy`.
  static Result<InnerRoutes> open(Socket socket, std::string state_file);

  // The unicast routes of these tables whose destination lies in one of these prefixes. A route
  // that covers more than a prefix is none of the tunnel's own, so it is not among them.
  Result<std::vector<Route>> list(std::span<const Prefix> inner,
                                  std::span<const std::uint32_t> tables);

  // Sets the route's MTU and remembers what it was. Nothing happens if it is that already. Refused
  // (`denied`) if packets to one of `peers` take this route; `unsupported` if it could not be put
  // back as it was; `not_found` if it has gone.
  Result<void> set_mtu(const RouteKey& key, std::uint32_t mtu, std::span<const Peer> peers);

  // Puts back what one route, or every one, had before. One that has gone, or that somebody else
  // changed since, is left alone and forgotten. Goes on after a failure, forgets what succeeded,
  // and returns the first failure.
  Result<void> restore(const RouteKey& key);
  Result<void> restore_all();

  [[nodiscard]] std::span<const Remembered> remembered() const noexcept { return memory_; }

 private:
  InnerRoutes(Socket socket, std::string state_file, UniqueFd held, std::vector<Remembered> memory)
      : socket_(std::move(socket)),
        state_file_(std::move(state_file)),
        held_(std::move(held)),
        memory_(std::move(memory)) {}
  Result<Route> find(const RouteKey& key);
  Result<void> refuse_peers(const RouteKey& key, std::span<const Peer> peers);
  Result<void> remember(const Route& now, std::uint32_t mtu);
  Result<void> put_back(const Remembered& route);
  Result<void> replace(const Route& route, std::uint32_t mtu);

  Socket socket_;
  std::string state_file_;
  UniqueFd held_;  // the file's directory, locked
  std::vector<Remembered> memory_;
};

}  // namespace cs::rt
