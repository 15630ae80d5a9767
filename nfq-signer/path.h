// SPDX-License-Identifier: GPL-3.0-or-later
// What is known of the path to an address, as the workers that sign for it see it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "nfq-signer/peer.h"

namespace cs {

// Signed packets that were longer than the path. All workers write, anybody reads.
struct PathCounters {
  explicit PathCounters(std::uint16_t first_identification)
      : next_identification(first_identification) {}

  std::atomic<std::uint64_t> fragmented{0};  // they leave as fragments
  std::atomic<std::uint64_t> lost{0};        // DF is set: the kernel drops them
  std::atomic<std::size_t> largest_lost{0};  // bytes; whoever reads it sets it to 0
  // Of packets whose DF is cleared. The workers share it, since fragments are put together by
  // addresses, protocol and identification.
  std::atomic<std::uint16_t> next_identification;

  void lose(std::size_t size) noexcept {
    lost.fetch_add(1, std::memory_order_relaxed);
    std::size_t known = largest_lost.load(std::memory_order_relaxed);
    while (known < size && !largest_lost.compare_exchange_weak(known, size)) {
    }
  }
};

struct PathLimit {
  Address address{};
  std::size_t mtu = 0;
  std::size_t max_batch = 0;  // so that inner packets that cannot be smaller still fit
  bool clears_df = false;     // where a packet is longer
  std::shared_ptr<PathCounters> counters;

  bool operator==(const PathLimit&) const = default;
};

}  // namespace cs
