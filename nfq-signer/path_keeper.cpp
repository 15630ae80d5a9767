// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/path_keeper.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace cs::mtu {
namespace {

constexpr std::chrono::seconds telling_interval{60};
// More than the SAs of one mode differ. Where packets are still longer, lowering the MTU is no
// cure.
constexpr std::size_t max_excess = 96;

std::uint16_t random_identification() {
  std::uint16_t drawn = 0;
  [[maybe_unused]] const ssize_t got = ::getrandom(&drawn, sizeof(drawn), 0);  // any will do
  return drawn;
}

std::string numbers(std::span<const std::uint32_t> all) {
  std::string text;
  for (const std::uint32_t number : all)
    text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

void add_words(std::string& place, const std::string& words) {
  place += (place.empty() ? "" : "; ") + words;
}

bool is_same(const std::optional<Plan>& a, const Plan& b) {
  return a && a->inner_mtu == b.inner_mtu && a->inner_mtu_ipv6 == b.inner_mtu_ipv6 &&
         a->batch == b.batch;
}

// What the route has to have. What others gave it only lowers ours.
std::uint32_t mtu_for(const rt::Route& route, std::uint32_t wanted,
                      std::span<const rt::Remembered> memory) {
  const auto known = std::find_if(memory.begin(), memory.end(),
                                  [&](const rt::Remembered& r) { return r.key == route.key; });
  const bool is_ours = known != memory.end() && known->is_ours(route.mtu);
  const std::uint32_t theirs = is_ours ? known->original : route.mtu;
  return theirs == 0 ? wanted : std::min(wanted, theirs);
}

}  // namespace

PathKeeper::PathKeeper(Options options, netlink::Socket socket,
                       std::optional<rt::InnerRoutes> routes)
    : options_(std::move(options)), socket_(std::move(socket)), routes_(std::move(routes)) {
  for (const Tunnel& tunnel : options_.tunnels) {
    if (PathState* const path = find_or_add(tunnel.peer)) path->tunnels.push_back({tunnel});
  }
}

Result<PathKeeper> PathKeeper::open(Options options) {
  CS_TRY(netlink::Socket socket, netlink::Socket::open());
  const bool sets_routes = std::any_of(options.tunnels.begin(), options.tunnels.end(),
                                       [](const Tunnel& tunnel) { return !tunnel.inner.empty(); });
  // Without tunnels there may still be something to put back.
  if (!sets_routes && ::access(options.memory.c_str(), F_OK) != 0) {
    return PathKeeper(std::move(options), std::move(socket), std::nullopt);
  }
  CS_TRY(netlink::Socket for_routes, netlink::Socket::open());
  CS_TRY(auto routes, rt::InnerRoutes::open(std::move(for_routes), options.memory));
  return PathKeeper(std::move(options), std::move(socket), std::move(routes));
}

bool PathKeeper::look(std::span<const Destination> destinations, BootTime now) {
  const std::vector<PathLimit> before = limits();
  follow(destinations);
  for (PathState& path : paths_) {
    ask(path);
    learn_from_losses(path, now);
    for (TunnelState& tunnel : path.tunnels) replan(path, tunnel);
    set_limit(path);
  }
  if (routes_) keep_routes();
  for (PathState& path : paths_) {
    for (TunnelState& tunnel : path.tunnels) {
      set_trouble(path.address, tunnel.trouble, std::exchange(tunnel.found, {}));
    }
  }
  return limits() != before;
}

std::vector<PathLimit> PathKeeper::limits() const {
  std::vector<PathLimit> out;
  for (const PathState& path : paths_) {
    if (path.watch.last()) out.push_back(path.limit);
  }
  return out;
}

Result<void> PathKeeper::restore() {
  return routes_ ? routes_->restore_all() : Result<void>();
}

// Null: there are too many.
PathState* PathKeeper::find_or_add(const net::Address& address) {
  const auto found = std::find_if(paths_.begin(), paths_.end(),
                                  [&](const PathState& path) { return path.address == address; });
  if (found != paths_.end()) return &*found;
  if (paths_.size() == max_paths) return nullptr;
  PathState& made = paths_.emplace_back(
      PathState{.address = address, .watch = rt::PathMtuWatch({.address = address, .source = {}})});
  made.limit.address = mapped_address(address.view());
  made.limit.counters = std::make_shared<PathCounters>(random_identification());
  return &made;
}

void PathKeeper::follow(std::span<const Destination> destinations) {
  for (PathState& path : paths_) path.is_destination = false;
  for (const Destination& destination : destinations) {
    PathState* const path = find_or_add(destination.address);
    if (path == nullptr) {
      if (std::exchange(is_full_, true)) continue;
      tell(true, destination.address,
           "more than " + std::to_string(max_paths) + " paths: this one is not watched");
      continue;
    }
    path->is_destination = true;
    if (destination.suite) path->suite = destination.suite;
  }
  std::erase_if(paths_,
                [](const PathState& path) { return path.tunnels.empty() && !path.is_destination; });
}

void PathKeeper::ask(PathState& path) {
  const std::optional<rt::PathMtu> before = path.watch.last();
  const auto asked = path.watch.poll(socket_);
  set_trouble(path.address, path.trouble, asked.ok() ? std::string() : asked.error().message());
  const std::optional<rt::PathMtu>& now = path.watch.last();
  if (!now || (before && before->mtu == now->mtu)) return;
  path.unsettled = 2;
  tell(false, path.address,
       "the path carries " + std::to_string(now->mtu) + " bytes" +
           (now->learned ? ", a router on it says" : ""));
}

// Where inner packets are no longer than what is set, their SAs add more than we were told.
void PathKeeper::answer_losses(PathState& path, std::size_t excess) {
  for (TunnelState& tunnel : path.tunnels) {
    if (tunnel.excess + excess > max_excess) continue;
    tunnel.excess += excess;
    path.unsettled = 2;
    tell(true, path.address,
         "packets are " + std::to_string(excess) +
             " bytes longer than expected, so the inner MTU gives way; set iv, icv and block of "
             "its [[tunnel]] to those of its SAs (ip xfrm state), or overhead");
  }
}

// The kernel drops what is longer than the path and has DF.
void PathKeeper::learn_from_losses(PathState& path, BootTime now) {
  PathCounters& counters = *path.limit.counters;
  const std::size_t largest = counters.largest_lost.exchange(0);
  const std::size_t excess = largest - std::min(largest, path.limit.mtu);
  if (path.unsettled > 0) {
    --path.unsettled;
  } else if (excess != 0) {
    answer_losses(path, excess);
  }
  const std::uint64_t lost = counters.lost.load();
  if (lost == path.told_lost || now < path.next_telling) return;
  tell(true, path.address,
       std::to_string(lost - path.told_lost) + " packets were longer than the path's " +
           std::to_string(path.limit.mtu) + " bytes and are lost" +
           (path.tunnels.empty() ? "; give it a [[tunnel]] in the configuration"
                                 : "; see whether all its networks are in a [[tunnel]], and their "
                                   "routes taken"));
  path.told_lost = lost;
  path.next_telling = now + telling_interval;
}

void PathKeeper::replan(PathState& path, TunnelState& tunnel) {
  if (!path.watch.last()) return;
  Tunnel asked = tunnel.tunnel;
  if (path.suite) asked.suite = *path.suite;
  Question question =
      question_for(asked, options_.policy, options_.max_batch, path.watch.last()->mtu);
  auto planned = plan(question);
  if (!planned.ok()) add_words(tunnel.found, planned.error().message());
  if (!planned.ok() && question.inner_ipv6) {  // IPv4 can still give way
    question.inner_ipv6 = false;
    planned = plan(question);
  }
  if (!planned.ok()) return;
  planned->inner_mtu =
      std::max(planned->inner_mtu - std::min(planned->inner_mtu, tunnel.excess), least_ipv4);
  planned->inner_mtu_ipv6 = std::max(
      planned->inner_mtu_ipv6 - std::min(planned->inner_mtu_ipv6, tunnel.excess), least_ipv6);
  if (is_same(tunnel.plan, *planned)) return;
  tunnel.plan = *planned;
  path.unsettled = 2;
  std::string words = "batches of up to " + std::to_string(planned->batch) + " packets";
  if (!tunnel.tunnel.inner.empty()) {
    words = "inner MTU " + std::to_string(planned->inner_mtu) + ", for IPv6 " +
            std::to_string(planned->inner_mtu_ipv6) + "; " + words;
  }
  tell(false, path.address, words);
}

void PathKeeper::set_limit(PathState& path) const {
  PathLimit& limit = path.limit;
  limit.mtu = path.watch.last() ? path.watch.last()->mtu : max_packet;
  limit.max_batch = options_.max_batch;
  limit.clears_df = options_.policy == Policy::fragment && !path.tunnels.empty();
  for (const TunnelState& tunnel : path.tunnels) {
    if (tunnel.tunnel.most_path != 0) limit.mtu = std::min(limit.mtu, tunnel.tunnel.most_path);
    if (tunnel.plan) limit.max_batch = std::min<std::size_t>(limit.max_batch, tunnel.plan->batch);
    // There is no inner route whose MTU could give way, and clamping does not reach connections
    // that are open already.
    limit.clears_df = limit.clears_df || tunnel.tunnel.sa.mode == Mode::transport;
  }
}

void PathKeeper::keep_routes() {
  std::vector<rt::Peer> peers;
  std::vector<Wanted> wanted;
  bool is_complete = true;
  for (PathState& path : paths_) {
    peers.push_back({.address = path.address, .source = {}});
    for (TunnelState& tunnel : path.tunnels) {
      if (!tunnel.tunnel.inner.empty()) is_complete = list_routes(tunnel, wanted) && is_complete;
    }
  }
  for (const Wanted& route : wanted) keep_route(route, peers);
  if (!is_complete) return;
  // What a tunnel had that is no longer configured, or whose route has gone.
  const std::vector<rt::Remembered> memory(routes_->remembered().begin(),
                                           routes_->remembered().end());
  for (const rt::Remembered& known : memory) {
    const bool is_wanted = std::any_of(wanted.begin(), wanted.end(), [&](const Wanted& route) {
      return route.route.key == known.key;
    });
    if (is_wanted) continue;
    if (const auto done = routes_->restore(known.key); !done.ok())
      notices_.push_back({true, done.error().message()});
  }
}

// False: it could not be found out.
bool PathKeeper::list_routes(TunnelState& tunnel, std::vector<Wanted>& out) {
  auto listed = routes_->list(tunnel.tunnel.inner, options_.tables);
  tunnel.routes = 0;
  if (!listed.ok()) {
    add_words(tunnel.found, listed.error().message());
    return false;
  }
  for (const net::Prefix& prefix : tunnel.tunnel.inner) {
    const bool has_route = std::any_of(listed->begin(), listed->end(), [&](const rt::Route& route) {
      return prefix.contains(route.key.destination);
    });
    if (!has_route) {
      add_words(tunnel.found, prefix.text() + " has no route of its own in table " +
                                  numbers(options_.tables) +
                                  ", so packets there are too large: ip route add " +
                                  prefix.text() + " via the gateway towards the peer");
    }
  }
  for (rt::Route& route : *listed) {
    const Plan plan = tunnel.plan.value_or(Plan{});
    const auto mtu = static_cast<std::uint32_t>(
        route.key.destination.address.ipv6 ? plan.inner_mtu_ipv6 : plan.inner_mtu);
    const auto known = std::find_if(
        out.begin(), out.end(), [&](const Wanted& other) { return other.route.key == route.key; });
    if (known == out.end()) {
      out.push_back({std::move(route), mtu, &tunnel});
    } else if (mtu != 0) {  // two tunnels for one network: it has to fit either
      known->mtu = known->mtu == 0 ? mtu : std::min(known->mtu, mtu);
    }
  }
  return true;
}

void PathKeeper::keep_route(const Wanted& wanted, std::span<const rt::Peer> peers) {
  if (wanted.mtu == 0) return;
  const std::uint32_t mtu = mtu_for(wanted.route, wanted.mtu, routes_->remembered());
  if (wanted.route.mtu != mtu) {
    const auto set = routes_->set_mtu(wanted.route.key, mtu, peers);
    if (!set.ok() && set.error().kind() == ErrorKind::not_found) return;  // it has just gone
    if (!set.ok()) return add_words(wanted.tunnel->found, set.error().message());
  }
  if (++wanted.tunnel->routes > 1) return;  // the others are beside it
  const net::Address& there = wanted.route.key.destination.address;
  const auto taken = rt::path_mtu(socket_, {.address = there, .source = {}});
  if (taken.ok() && taken->mtu > mtu) {
    add_words(wanted.tunnel->found, wanted.route.key.text() +
                                        " has the MTU, but packets there take another route: see "
                                        "ip rule");
  }
}

void PathKeeper::set_trouble(const net::Address& peer, std::string& place, std::string words) {
  if (place == words) return;
  if (!words.empty()) tell(true, peer, words);
  place = std::move(words);
}

void PathKeeper::tell(bool is_trouble, const net::Address& peer, const std::string& words) {
  notices_.push_back({is_trouble, peer.text() + ": " + words});
}

}  // namespace cs::mtu
