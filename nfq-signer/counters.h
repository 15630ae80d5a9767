// SPDX-License-Identifier: GPL-3.0-or-later
// What the data plane counts. Written by one worker, read by anybody at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "nfq-signer/reason.h"
#include "xfrm/queue/queue.h"

namespace cs {

// One writer: so no locked instruction is needed, only that readers see whole numbers.
class Counter {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.store(value() + n, std::memory_order_relaxed); }
  void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// A packet is counted in exactly one of signed_out, verified, unasked, tolerated[…], untouched,
// no_peer, closed, signer_failed, truncated, unusable, dropped[…]; together they are what was
// received, but for what is held.
struct WorkerCounters {
  Counter received;
  Counter signed_out;
  Counter verified;
  Counter unasked;        // let in without looking, by mode sign_only
  Counter untouched;      // not ours to sign or verify: IKE, peers that are off
  Counter no_peer;        // dropped: no peer with that address, or one without a key
  Counter closed;         // dropped: the data plane is closed, for a reason its status tells
  Counter signer_failed;  // dropped: its batch was not signed
  using ByReason = std::array<Counter, static_cast<std::size_t>(Reason::count)>;
  ByReason dropped;
  ByReason tolerated;  // let in by mode audit, with the reason it would have been dropped for

  // The queue's own; see Queue::Counters.
  Counter truncated, unusable, lost, refused;

  void set(const Queue::Counters& queue) noexcept {
    received.set(queue.received + queue.truncated + queue.unusable);
    truncated.set(queue.truncated);
    unusable.set(queue.unusable);
    lost.set(queue.lost);
    refused.set(queue.refused);
  }

  Counter batches;
  Counter asked_again;  // batches closed anew because their signer was busy
  // Batches of up to 1, 2, 4, 8 … packets.
  std::array<Counter, 16> batch_sizes;
  Counter signatures_checked;

  [[nodiscard]] static Counter& of(ByReason& counters, Reason reason) noexcept {
    return counters.at(static_cast<std::size_t>(reason));
  }
};

}  // namespace cs
