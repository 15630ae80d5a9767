// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/agreements.h"

#include <algorithm>
#include <utility>

namespace cs::keyms {
namespace {

using xfrm::End;

// The longest are cut, and told apart by their place.
std::string name_in(const std::string& peer, const std::string& name, std::size_t place) {
  std::string all = peer + "/" + name;
  if (all.size() <= xfrm::max_name) return all;
  const std::string number = "~" + std::to_string(place + 1);
  return all.substr(0, xfrm::max_name - number.size()) + number;
}

void keep_stricter(xfrm::Action& of, xfrm::Action other) {
  if (other == xfrm::Action::block) of = other;
}

void add_address(xfrm::GatePeer& peer, const net::Address& address) {
  if (std::ranges::find(peer.addresses, address) == peer.addresses.end())
    peer.addresses.push_back(address);
}

}  // namespace

Result<void> Agreements::add(const CorePolicy& policy, End us, xfrm::Agreement& joined) {
  const Gateway& there = policy.gateways.at(index(other(us)));
  xfrm::GatePeer peer{.name = there.ne_id, .addresses = there.addresses};
  std::size_t place = 0;
  for (xfrm::Tunnel tunnel : policy.agreement.tunnels) {
    if (us == End::right) std::swap(tunnel.ends[0], tunnel.ends[1]);
    if (const auto& at = tunnel.ends[1].address) add_address(peer, *at);
    tunnel.name = name_in(peer.name, tunnel.name, place++);
    joined.tunnels.push_back(std::move(tunnel));
  }
  for (xfrm::Bypass bypass : policy.agreement.bypasses) {
    if (bypass.at != us) continue;
    bypass.at = End::left;
    bypass.name = name_in(peer.name, bypass.name, place++);
    joined.bypasses.push_back(std::move(bypass));
  }
  const xfrm::Defaults& defaults = policy.agreement.defaults;
  keep_stricter(joined.defaults.in, defaults.in);
  keep_stricter(joined.defaults.forward, defaults.forward);
  keep_stricter(joined.defaults.out, defaults.out);
  if (peer.addresses.empty()) {
    return Error(ErrorKind::invalid, "nothing says which packets are " + peer.name + "'s")
        .with_hint("name its addresses, in gateways." + peer.name +
                   ".addresses of the policy; behind NAT, those of the NAT");
  }
  peers_.push_back(std::move(peer));
  return {};
}

Result<Agreements> Agreements::join(const std::vector<CorePolicy>& policies,
                                    const std::string& us) {
  if (policies.empty()) {
    return Error(ErrorKind::invalid, "no core policy is in force")
        .with_hint("agree on one with the other gateway: countersign policy --help");
  }
  Agreements out;
  xfrm::Agreement joined;
  for (const CorePolicy& policy : policies) {
    const auto end = end_of(policy, us);
    if (!end) {
      return Error(ErrorKind::invalid, "the policy " + policy.name + " is not one of " + us)
          .with_hint("apply it on the gateways that it names");
    }
    CS_CHECK(out.add(policy, *end, joined).context("the policy " + policy.name));
  }
  std::ranges::stable_sort(out.peers_, {}, &xfrm::GatePeer::name);
  std::ranges::stable_sort(joined.tunnels, {}, &xfrm::Tunnel::name);
  CS_CHECK(xfrm::check_gate({.peers = out.peers_}).context("the core policies together"));
  for (const xfrm::GatePeer& peer : out.peers_) {
    for (const net::Address& one : peer.addresses)
      out.at_.emplace(Place{one.ipv6, one.bytes}, peer.name);
  }
  CS_TRY(out.expected_, xfrm::expect(joined, End::left).context("the core policies together"));
  return out;
}

std::optional<std::string> Agreements::peer_of(std::string_view tunnel) const {
  // A NeID has no slash.
  const std::string peer(tunnel.substr(0, tunnel.find('/')));
  if (std::ranges::find(peers_, peer, &xfrm::GatePeer::name) == peers_.end()) return std::nullopt;
  return peer;
}

const std::string* Agreements::peer_at(const net::Address& address) const noexcept {
  const auto found = at_.find({address.ipv6, address.bytes});
  return found == at_.end() ? nullptr : &found->second;
}

}  // namespace cs::keyms
