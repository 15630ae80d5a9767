// SPDX-License-Identifier: GPL-3.0-or-later
// The one thread of a daemon that decides: its parts say what they wait for, and are run when that
// has come. Nothing in a part blocks.
#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace cs::keyms {

// What a part waits for, for one turn.
class Waits {
 public:
  explicit Waits(BootTime at_the_latest) : until_(at_the_latest) {}
  // Of no descriptor (-1): nothing.
  void on(int fd, short events = POLLIN) {
    if (fd >= 0) fds_.push_back({fd, events, 0});
  }
  void until(std::optional<BootTime> time) {
    if (time && *time < until_) until_ = *time;
  }

 private:
  friend class Loop;
  std::vector<pollfd> fds_;
  BootTime until_;
};

class LoopPart {
 public:
  LoopPart() = default;
  LoopPart(const LoopPart&) = delete;
  LoopPart& operator=(const LoopPart&) = delete;
  LoopPart(LoopPart&&) = delete;
  LoopPart& operator=(LoopPart&&) = delete;
  virtual ~LoopPart() = default;

  virtual void wait(Waits& waits) const = 0;
  // One of its descriptors is ready, or its time has come. An error ends the daemon.
  virtual Result<void> run() = 0;
};

class Loop {
 public:
  // However little happens: a turn is at least this often, so that a suspended machine is noticed
  // (poll's own clock stops with it), and the watchdog is fed by somebody who really goes round.
  static constexpr std::chrono::milliseconds longest{1000};

  explicit Loop(const Clock& clock) : clock_(&clock) {}

  // Must outlive the loop.
  void add(LoopPart& part) { parts_.push_back(&part); }
  // Waits, then runs who has something to do; and all whose time has come meanwhile.
  Result<void> turn();

 private:
  const Clock* clock_;
  std::vector<LoopPart*> parts_;
};

}  // namespace cs::keyms
