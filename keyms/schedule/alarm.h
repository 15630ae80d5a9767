// SPDX-License-Identifier: GPL-3.0-or-later
// Wakes an event loop at a moment, after a suspend as well, and whenever somebody sets the clock.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "keyms/schedule/life.h"

namespace cs::keyms {

// Two timers of the kernel behind one descriptor. When it is readable: clear(), then
// ClockGuard::look() and Schedule::run(), then set(Schedule::next()). Move-only.
class Alarm {
 public:
  [[nodiscard]] static Result<Alarm> open();

  // Readable from the moment that was set on, never before it; and from when somebody sets the wall
  // clock, be it between clear() and set().
  [[nodiscard]] int fd() const noexcept { return both_.get(); }
  [[nodiscard]] Result<void> set(const Moment& moment);
  // Silent until it is set anew.
  void clear() noexcept;

 private:
  UniqueFd wall_;
  UniqueFd boot_;
  UniqueFd both_;
};

}  // namespace cs::keyms
