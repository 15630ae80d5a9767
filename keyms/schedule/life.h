// SPDX-License-Identifier: GPL-3.0-or-later
// How long a key or a certificate lives, by two clocks: it ends at the earlier of the moment that
// its certificate says and a deadline on the boot clock, set when it began. So setting the clock
// back never makes a life longer, and setting it forward ends it at once.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/rfc3339.h"

namespace cs::keyms {

// Comes when either clock has reached its part; max() of a clock: that one never does.
struct Moment {
  WallTime wall = WallTime::max();
  BootTime boot = BootTime::max();

  [[nodiscard]] bool has_come(const Clock& clock) const noexcept {
    return clock.wall() >= wall || clock.boot() >= boot;
  }
  bool operator==(const Moment&) const = default;
};

class Life {
 public:
  // So far may clocks of two gateways be apart: what begins in the future by less has begun.
  static constexpr std::chrono::seconds tolerance{60};

  // Begins now. Refused (unverified): it has ended, or begins later.
  [[nodiscard]] static Result<Life> begin(const Clock& clock, WallTime not_before,
                                          WallTime not_after) {
    const WallTime now = now_of(clock);
    if (now >= not_after) {
      return Error(ErrorKind::unverified, "it has expired at " + format_rfc3339(not_after) +
                                              ", and it is " + format_rfc3339(now));
    }
    if (not_before > now && not_before - now > tolerance) {
      return Error(ErrorKind::unverified, "it begins at " + format_rfc3339(not_before) +
                                              ", and it is " + format_rfc3339(now))
          .with_hint("compare the clocks of both gateways");
    }
    // Saturated: certificates without an end say the last moment there is.
    const auto left = not_after - now;
    const BootTime boot = clock.boot();
    return Life({not_after, left < BootTime::max() - boot ? boot + left : BootTime::max()});
  }
  // Began earlier in this boot, and its end was kept. What is kept from one boot to the next has no
  // deadline on the boot clock: begin() it anew, once ClockGuard has found the clock plausible.
  [[nodiscard]] static Life resume(Moment end) noexcept { return Life(end); }

  [[nodiscard]] const Moment& end() const noexcept { return end_; }
  // To be asked before each use.
  [[nodiscard]] bool is_over(const Clock& clock) const noexcept { return end_.has_come(clock); }
  // By the clock that ends it earlier; zero when it is over.
  [[nodiscard]] std::chrono::nanoseconds left(const Clock& clock) const noexcept {
    if (is_over(clock)) return {};
    return std::min(end_.wall - now_of(clock), end_.boot - clock.boot());
  }

 private:
  // Before 1970 a difference might not be representable.
  [[nodiscard]] static WallTime now_of(const Clock& clock) noexcept {
    return std::max(clock.wall(), WallTime());
  }
  explicit Life(Moment end) noexcept : end_(end) {}
  Moment end_;
};

}  // namespace cs::keyms
