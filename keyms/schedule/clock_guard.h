// SPDX-License-Identifier: GPL-3.0-or-later
// Watches the wall clock, which others set: by the boot clock, which nobody can.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace cs::keyms {

class ClockGuard {
 public:
  // No release is older.
  static constexpr WallTime released{
      std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}.time_since_epoch()};
  static constexpr std::chrono::years future{10};
  // What a time server may correct without being told of: so much at once, and a thousandth of the
  // time that has passed, as it lets a clock run faster or slower.
  static constexpr std::chrono::milliseconds at_once{500};
  static constexpr int slewed = 1000;
  static constexpr std::chrono::hours settled{1};

  // `seen`: the last moment that was noted before this process began; none: 0. The clock must
  // outlive it.
  explicit ClockGuard(const Clock& clock, WallTime seen = {});

  // Refused (unverified): the clock is before what has been, or ten years and more after. To be
  // asked before anything that begins by it.
  [[nodiscard]] Result<void> check() const;
  // The latest moment that was plausible and that the clock did not come to by a jump within the
  // last hour: else a wrong time, served for a minute, would make the right one implausible. To be
  // noted now and then.
  [[nodiscard]] WallTime seen() const noexcept { return seen_; }

  // Since the last look or the beginning: by how much the clock was set, if it was. To be asked
  // when the kernel says that it was set, and whenever something is due.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> look();

 private:
  const Clock& clock_;
  WallTime seen_;
  WallTime wall_;
  BootTime boot_;
  BootTime believed_from_;
};

// "the clock jumped forward by 2 h 10 min"
[[nodiscard]] std::string step_text(std::chrono::nanoseconds by);

}  // namespace cs::keyms
