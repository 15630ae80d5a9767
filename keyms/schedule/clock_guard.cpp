// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/schedule/clock_guard.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/rfc3339.h"

namespace cs::keyms {

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

// A clock that is set back by less than this was corrected, not turned back.
constexpr auto corrected = 5min;

// Of two moments that may be at both ends of time.
nanoseconds difference(WallTime later, WallTime earlier) {
  const auto a = later.time_since_epoch().count();
  const auto b = earlier.time_since_epoch().count();
  std::int64_t result = 0;
  if (!__builtin_sub_overflow(a, b, &result)) return nanoseconds(result);
  return a > b ? nanoseconds::max() : nanoseconds::min();
}

}  // namespace

ClockGuard::ClockGuard(const Clock& clock, WallTime seen)
    : clock_(clock),
      seen_(std::max(seen, released)),
      wall_(clock.wall()),
      boot_(clock.boot()),
      believed_from_(boot_ + settled) {}

Result<void> ClockGuard::check() const {
  const WallTime now = clock_.wall();
  const auto implausible = [now](const std::string& why) {
    return Error(ErrorKind::unverified,
                 "the clock is implausible: it is " + format_rfc3339(now) + ", " + why)
        .with_hint("set it, and look who serves the time: timedatectl");
  };
  if (now < seen_ - corrected) {
    return implausible("and was " + format_rfc3339(seen_) + " before");
  }
  if (difference(now, seen_) > future) {
    return implausible("more than ten years after it was last seen, " + format_rfc3339(seen_));
  }
  return {};
}

std::optional<nanoseconds> ClockGuard::look() {
  const WallTime wall = clock_.wall();
  const BootTime boot = clock_.boot();
  const nanoseconds passed = boot - std::exchange(boot_, boot);
  const nanoseconds told = difference(wall, std::exchange(wall_, wall));
  const bool forward = told > passed;
  const nanoseconds by = difference(WallTime(told), WallTime(passed));
  const nanoseconds allowed = at_once + passed / slewed;
  if (forward ? by > allowed : by < -allowed) {
    believed_from_ = boot + settled;
    return by;
  }
  if (boot >= believed_from_ && check().ok()) seen_ = std::max(seen_, wall);
  return {};
}

std::string step_text(nanoseconds by) {
  constexpr std::array<std::pair<nanoseconds, const char*>, 5> units{
      {{24h, " days"}, {1h, " h"}, {1min, " min"}, {1s, " s"}, {1ms, " ms"}}};
  const bool forward = by > 0ns;
  // The least number has no counterpart.
  nanoseconds left = forward ? by : -std::max(by, -nanoseconds::max());
  std::string text;
  int told = 0;
  for (const auto& [unit, name] : units) {
    if (left < unit || told == 2) continue;
    text += " " + std::to_string(left / unit) + name;
    left %= unit;
    ++told;
  }
  return std::string("the clock jumped ") + (forward ? "forward" : "back") + " by" +
         (text.empty() ? " less than 1 ms" : text);
}

}  // namespace cs::keyms
