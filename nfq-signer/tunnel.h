// SPDX-License-Identifier: GPL-3.0-or-later
// A [[tunnel]] of the configuration: what the kernel's SAs to one peer add, and what goes through
// them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nfq-signer/mtu.h"
#include "nfq-signer/prefix.h"

namespace cs::mtu {

struct Tunnel {
  rt::Address peer;
  std::vector<rt::Prefix> inner = {};  // networks behind it; none in transport mode
  Encapsulation sa = {};
  Suite suite = Suite::p256_node16;  // as long as the peer's key is not there
  std::size_t most_inner = 0;        // inner MTU at most; 0: as the path allows
  std::size_t most_path = 0;         // path MTU at most; 0: as the kernel believes

  static constexpr std::size_t max_count = 256;
  static constexpr std::size_t max_inner = 64;
};

// What plan() is to answer for a path of `path` bytes. In transport mode no inner packet has to be
// 1280 bytes long: its TCP is clamped.
inline Question question_for(const Tunnel& tunnel, Policy policy, std::uint32_t batch,
                             std::size_t path) {
  const bool has_ipv6 = std::any_of(tunnel.inner.begin(), tunnel.inner.end(),
                                    [](const rt::Prefix& prefix) { return prefix.address.ipv6; });
  return {.sa = tunnel.sa,
          .path = tunnel.most_path == 0 ? path : std::min(path, tunnel.most_path),
          .suite = tunnel.suite,
          .batch = batch,
          .policy = policy,
          .inner_ipv6 = has_ipv6,
          .configured = tunnel.most_inner};
}

}  // namespace cs::mtu
