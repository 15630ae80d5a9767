// SPDX-License-Identifier: GPL-3.0-or-later
// Two namespaces and a cable, with the rules that lead packets through the queues under test:
//
//   a: sender -> postrouting [queue] -> left ---- right -> wire -> input [queue] -> sink :b
//
// What is sent to a sink address is counted and dropped at the end of its way; what is sent to a
// receiver address takes the same way and may be received there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "nfq-signer/peer.h"
#include "tools/bench/netns.h"

namespace cs::bench {

// Where queues are: in a only, in b only, in both.
enum class Path : std::uint8_t { out, in, both };

enum class Target : std::uint8_t { sink, receiver };

inline constexpr std::uint16_t first_out_queue = 100;
inline constexpr std::uint16_t first_in_queue = 200;

// Bytes of an address of a; and of b for what goes through queue `index`.
[[nodiscard]] std::vector<std::uint8_t> sender_address(bool ipv6);
[[nodiscard]] std::vector<std::uint8_t> target_address(bool ipv6, Target target, std::size_t index);

struct Traffic {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;  // IP header and all behind it
};
[[nodiscard]] inline Traffic operator-(const Traffic& after, const Traffic& before) noexcept {
  return {after.packets - before.packets, after.bytes - before.bytes};
}

// Only packets to sink addresses.
struct Counted {
  Traffic wire;
  Traffic sink;
};

// Of one NFQUEUE, as the kernel tells it.
struct QueueState {
  std::uint64_t waiting = 0;
  std::uint64_t dropped_full = 0;    // more than its length
  std::uint64_t dropped_buffer = 0;  // the listener's receive buffer
};

class Network {
 public:
  struct Setting {
    Path path = Path::out;
    bool ipv6 = false;
    std::size_t queues = 1;
    std::size_t mtu = 1500;
  };
  static Result<Network> create(const Setting& setting);

  [[nodiscard]] const Netns& a() const noexcept { return a_; }
  [[nodiscard]] const Netns& b() const noexcept { return b_; }

  [[nodiscard]] Result<Counted> count() const;
  // All queues of that namespace together; zeros where nobody listens.
  static Result<QueueState> queues_of(const Netns& netns);
  // "nftables" or "iptables": what steers packets into the queues.
  [[nodiscard]] const std::string& steered_by() const noexcept { return steered_by_; }

 private:
  Network(Netns a, Netns b) : a_(std::move(a)), b_(std::move(b)) {}
  Result<void> connect(const Setting& setting);
  Result<void> count_and_sink(const Setting& setting);
  Result<void> steer(const Netns& netns, const char* hook, const Setting& setting,
                     std::uint16_t first_queue);

  Netns a_;
  Netns b_;
  std::string steered_by_;
};

}  // namespace cs::bench
