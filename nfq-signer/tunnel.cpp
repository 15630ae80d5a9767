// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/tunnel.h"

#include <algorithm>

namespace cs::mtu {

Question question_for(const Tunnel& tunnel, Policy policy, std::uint32_t batch, std::size_t path) {
  const bool has_ipv6 = std::any_of(tunnel.inner.begin(), tunnel.inner.end(),
                                    [](const net::Prefix& prefix) { return prefix.address.ipv6; });
  return {.sa = tunnel.sa,
          .path = tunnel.most_path == 0 ? path : std::min(path, tunnel.most_path),
          .suite = tunnel.suite,
          .batch = batch,
          .policy = policy,
          .inner_ipv6 = has_ipv6,
          .configured = tunnel.most_inner};
}

Result<std::vector<Clamp>> transport_clamps(std::span<const Tunnel> tunnels, std::uint32_t batch) {
  constexpr std::size_t usual_path = 1500;
  std::vector<Clamp> clamps;
  for (const Tunnel& tunnel : tunnels) {
    if (tunnel.sa.mode != Mode::transport) continue;
    CS_TRY(const Plan planned, plan(question_for(tunnel, Policy::fragment, batch, usual_path)));
    const bool ipv6 = tunnel.peer.ipv6;
    clamps.push_back({ipv6, tunnel.peer.text(), mss(ipv6, planned.inner_mtu)});
  }
  return clamps;
}

}  // namespace cs::mtu
