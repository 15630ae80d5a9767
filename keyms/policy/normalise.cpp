// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <tuple>

#include "keyms/policy/core_policy.h"

namespace cs::keyms {
namespace {

auto key_of(const net::Address& address) {
  return std::tuple(address.ipv6, address.bytes);
}

auto key_of(const xfrm::Traffic& traffic) {
  const net::Prefix& network = traffic.network;
  return std::tuple(network.address.ipv6, network.address.bytes, network.length, traffic.protocol,
                    traffic.ports.port, traffic.ports.mask);
}

auto key_of(const BootRule& rule) {
  return rule.pcr;
}

std::vector<std::uint8_t> key_of(const tpm::Digest& digest) {
  const ByteView bytes = digest.bytes();
  return {bytes.begin(), bytes.end()};
}

const Hash& key_of(const Hash& hash) {
  return hash;
}

const std::string& key_of(const std::string& text) {
  return text;
}

template <class T>
void sort_set(std::vector<T>& set) {
  std::ranges::stable_sort(set, [](const T& a, const T& b) { return key_of(a) < key_of(b); });
  set.erase(std::unique(set.begin(), set.end()), set.end());
}

template <class T>
void sort_by_name(std::vector<T>& named) {
  std::ranges::stable_sort(named, {}, &T::name);
}

void swap_ends(CorePolicy& policy) {
  std::swap(policy.gateways[0], policy.gateways[1]);
  for (xfrm::Tunnel& tunnel : policy.agreement.tunnels) std::swap(tunnel.ends[0], tunnel.ends[1]);
  for (xfrm::Bypass& bypass : policy.agreement.bypasses) bypass.at = other(bypass.at);
}

}  // namespace

void normalise(CorePolicy& policy) {
  if (policy.gateways[1].ne_id < policy.gateways[0].ne_id) swap_ends(policy);
  for (Gateway& gateway : policy.gateways) {
    sort_set(gateway.addresses);
    sort_set(gateway.boot);
    for (BootRule& rule : gateway.boot) sort_set(rule.accepted);
    if (!gateway.ima) continue;
    sort_set(gateway.ima->list_keys);
    sort_set(gateway.ima->ignored);
  }
  for (xfrm::Tunnel& tunnel : policy.agreement.tunnels) {
    for (xfrm::TunnelEnd& end : tunnel.ends) sort_set(end.traffic);
  }
  sort_by_name(policy.agreement.tunnels);
  sort_by_name(policy.agreement.bypasses);
}

}  // namespace cs::keyms
