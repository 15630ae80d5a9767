// SPDX-License-Identifier: GPL-3.0-or-later
// What is known of the way to a peer: by the configuration, and by keymsd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nfq-signer/mtu.h"
#include "xfrm/address.h"
#include "xfrm/route/clamp.h"

namespace cs::mtu {

// A [[tunnel]] of the configuration: what the kernel's SAs add, and what goes through them.
struct Tunnel {
  net::Address peer;
  std::vector<net::Prefix> inner = {};  // networks behind it; none in transport mode
  Encapsulation sa = {};
  Suite suite = Suite::p256_node16;  // as long as the peer's key is not there
  std::size_t most_inner = 0;        // inner MTU at most; 0: as the path allows
  std::size_t most_path = 0;         // path MTU at most; 0: as the kernel believes

  static constexpr std::size_t max_count = 256;
  static constexpr std::size_t max_inner = 64;
};

// Where signed packets go, as keymsd told; without a suite as long as there is no key.
struct Destination {
  net::Address address;
  std::optional<Suite> suite;
};

// What plan() is to answer for a path of `path` bytes. In transport mode no inner packet has to be
// 1280 bytes long: its TCP is clamped.
[[nodiscard]] Question question_for(const Tunnel& tunnel, Policy policy, std::uint32_t batch,
                                    std::size_t path);

// What TCP with each peer in transport mode has to be clamped to, on paths of 1500 bytes if the
// tunnel does not say less, and with batches of up to `batch`.
Result<std::vector<Clamp>> transport_clamps(std::span<const Tunnel> tunnels, std::uint32_t batch);

}  // namespace cs::mtu
