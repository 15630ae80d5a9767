// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"

namespace cs::test {

// A clock that moves when the test says so, never by itself. Safe to move and to read from several
// threads. Starts at an arbitrary moment, so that nobody relies on zero.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] WallTime wall() const noexcept override { return wall_.load(); }
  [[nodiscard]] BootTime boot() const noexcept override { return boot_.load(); }

  // Time passes, awake or suspended: both clocks go on.
  void advance(std::chrono::nanoseconds by) {
    wall_.store(wall_.load() + by);
    boot_.store(boot_.load() + by);
  }
  // Somebody sets the clock (NTP, an operator, an attacker): only wall time jumps.
  void set_wall(WallTime to) { wall_.store(to); }

 private:
  std::atomic<WallTime> wall_{from_time_t(1'700'000'000)};
  std::atomic<BootTime> boot_{BootTime(std::chrono::hours(5))};
};

}  // namespace cs::test
