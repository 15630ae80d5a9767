// SPDX-License-Identifier: GPL-3.0-or-later
// The clock seam. Whoever needs the time is given a `const Clock&`; nobody else asks the kernel.
// Tests give a ManualClock (tests/support/manual_clock.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

#include "base/panic.h"

namespace cs {

namespace detail {
// Tags only: they have no now(), so that there is no way around the seam.
struct WallTag {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
};
struct BootTag : WallTag {};
}  // namespace detail

// CLOCK_REALTIME since 1970 (UTC). For certificates and logs. May jump, either way.
using WallTime = std::chrono::time_point<detail::WallTag, std::chrono::nanoseconds>;
// CLOCK_BOOTTIME since boot. For every deadline: it never jumps and goes on during suspend, so a
// key does not live longer because its machine slept. Not comparable between machines or boots.
using BootTime = std::chrono::time_point<detail::BootTag, std::chrono::nanoseconds>;

// Safe to call from several threads.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  Clock(Clock&&) = delete;
  Clock& operator=(Clock&&) = delete;
  virtual ~Clock() = default;

  [[nodiscard]] virtual WallTime wall() const noexcept = 0;
  [[nodiscard]] virtual BootTime boot() const noexcept = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] WallTime wall() const noexcept override { return WallTime(read(CLOCK_REALTIME)); }
  [[nodiscard]] BootTime boot() const noexcept override { return BootTime(read(CLOCK_BOOTTIME)); }

 private:
  static std::chrono::nanoseconds read(clockid_t id) noexcept {
    timespec now{};
    // Fails only for a clock the kernel does not have; both are older than every kernel we run on.
    if (clock_gettime(id, &now) != 0) panic("clock_gettime");
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  }
};

// Seconds since 1970, rounded down, for interfaces that take time_t.
[[nodiscard]] constexpr std::time_t to_time_t(WallTime time) noexcept {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

// Nanoseconds in 64 bits end in the year 2262; certificates without an end say 9999 (RFC 5280).
// What lies beyond becomes the last or first representable time.
[[nodiscard]] constexpr WallTime from_time_t(std::time_t seconds) noexcept {
  using std::chrono::duration_cast;
  constexpr auto last = duration_cast<std::chrono::seconds>(WallTime::duration::max()).count();
  if (seconds > last) return WallTime::max();
  if (seconds < -last) return WallTime::min();
  return WallTime(std::chrono::seconds(seconds));
}

}  // namespace cs
