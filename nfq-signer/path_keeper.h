// SPDX-License-Identifier: GPL-3.0-or-later
// Keeps the inner MTU of each tunnel at what its path carries: asks the kernel for the path MTU to
// every peer, sets the MTU of inner routes, and says what workers have to know of each path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "nfq-signer/path.h"
#include "nfq-signer/tunnel.h"
#include "xfrm/route/routes.h"

namespace cs::mtu {

struct TunnelState {
  Tunnel tunnel;
  std::optional<Plan> plan = {};  // none: nothing is set
  std::size_t routes = 0;         // inner routes that have its MTU
  std::size_t excess = 0;         // bytes by which packets are longer than `tunnel` lets expect
  std::string trouble = {};       // in words, with the cure; empty: none
  std::string found = {};         // the trouble of this look, so far
};

// The path to one address. Without tunnels nothing is set, and what is longer only counted.
struct PathState {
  net::Address address;
  rt::PathMtuWatch watch;
  PathLimit limit = {};
  std::vector<TunnelState> tunnels = {};
  std::string trouble = {};
  std::optional<Suite> suite = {};
  bool is_destination = false;
  int unsettled = 0;  // looks whose losses may be older than what is set
  std::uint64_t told_lost = 0;
  BootTime next_telling = BootTime::min();
};

// For one thread. Nothing that fails here ends anything: it is trouble in words, and tried again
// with the next look.
class PathKeeper {
 public:
  struct Options {
    std::vector<Tunnel> tunnels;
    Policy policy = Policy::cap;
    std::vector<std::uint32_t> tables;  // where inner routes are
    std::string memory;  // see InnerRoutes; without tunnels its directory need not be there
    std::uint32_t max_batch = 64;
  };
  struct Notice {
    bool is_trouble = false;
    std::string words;
  };
  static constexpr std::size_t max_paths = 1024;

  static Result<PathKeeper> open(Options options);

  // Asks and sets. Whether limits() is another now.
  bool look(std::span<const Destination> destinations, BootTime now);
  [[nodiscard]] std::vector<PathLimit> limits() const;
  [[nodiscard]] std::span<const PathState> paths() const noexcept { return paths_; }
  // What is new since the last time, for the journal.
  [[nodiscard]] std::vector<Notice> take_notices() { return std::exchange(notices_, {}); }

  // Puts back what the routes had before.
  Result<void> restore();

 private:
  struct Wanted {
    rt::Route route;
    std::uint32_t mtu = 0;  // 0: as it is
    TunnelState* tunnel = nullptr;
  };

  PathKeeper(Options options, netlink::Socket socket, std::optional<rt::InnerRoutes> routes);
  PathState* find_or_add(const net::Address& address);
  void follow(std::span<const Destination> destinations);
  void ask(PathState& path);
  void learn_from_losses(PathState& path, BootTime now);
  void answer_losses(PathState& path, std::size_t excess);
  void replan(PathState& path, TunnelState& tunnel);
  void set_limit(PathState& path) const;
  void keep_routes();
  bool list_routes(TunnelState& tunnel, std::vector<Wanted>& out);
  void keep_route(const Wanted& wanted, std::span<const rt::Peer> peers);
  void set_trouble(const net::Address& peer, std::string& place, std::string words);
  void tell(bool is_trouble, const net::Address& peer, const std::string& words);

  Options options_;
  netlink::Socket socket_;
  std::optional<rt::InnerRoutes> routes_;
  std::vector<PathState> paths_;
  std::vector<Notice> notices_;
  bool is_full_ = false;
};

}  // namespace cs::mtu
