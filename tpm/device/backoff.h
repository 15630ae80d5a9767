// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.h"

namespace cs::tpm {

// Waits twice as long each time, from 1 ms to `longest`, as long as it ends before the limit.
class Backoff {
 public:
  // The clock must outlive it.
  Backoff(const Clock& clock, std::chrono::milliseconds limit,
          std::chrono::milliseconds longest = std::chrono::milliseconds(256))
      : clock_(&clock), deadline_(clock.boot() + limit), longest_(longest) {}

  // False, at once: no time is left for another attempt.
  [[nodiscard]] bool wait() {
    if (clock_->boot() + next_ > deadline_) return false;
    std::this_thread::sleep_for(next_);
    next_ = std::min(next_ * 2, longest_);
    return true;
  }

 private:
  const Clock* clock_;
  BootTime deadline_;
  std::chrono::milliseconds longest_;
  std::chrono::milliseconds next_{1};
};

}  // namespace cs::tpm
