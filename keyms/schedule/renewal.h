// SPDX-License-Identifier: GPL-3.0-or-later
// When to renew what ends: ahead, not all at one moment, and again until its end where it fails.
// All on the boot clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace cs::keyms {

class Renewal {
 public:
  static constexpr std::chrono::seconds first_delay{1};
  static constexpr std::chrono::seconds most_delay{30};

  // Of a life from `begin` to `end`, of which its successor shares the last `overlap`. A quarter of
  // it is left for trying again. `random` is drawn for each, from all there are: two gateways, and
  // the tunnels of one, do not renew at the same moment.
  Renewal(BootTime begin, BootTime end, std::chrono::nanoseconds overlap, std::uint32_t random);

  // When to try; none: it is too late, and begins anew once it has ended.
  [[nodiscard]] std::optional<BootTime> next() const noexcept { return next_; }
  [[nodiscard]] BootTime end() const noexcept { return end_; }
  // One more has failed: later, each time after a longer while, but never after the end.
  void failed(BootTime now, std::uint32_t random);

 private:
  BootTime end_;
  std::optional<BootTime> next_;
  std::chrono::nanoseconds delay_ = first_delay;
};

}  // namespace cs::keyms
