// SPDX-License-Identifier: GPL-3.0-or-later
// What is to be done when, for an event loop: an alarm (alarm.h) wakes it at next(), then it calls
// run(). Not for two threads at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "base/clock.h"
#include "base/result.h"
#include "keyms/schedule/life.h"

namespace cs::keyms {

class Schedule {
 public:
  static constexpr std::size_t most = 4096;
  using Id = std::uint64_t;
  using Task = std::function<void()>;

  // The clock must outlive it.
  explicit Schedule(const Clock& clock) : clock_(clock) {}

  // Once; at the next run() if the moment has come. Refused (limit): more than `most`.
  [[nodiscard]] Result<Id> at(Moment when, Task task);
  // Not done then. Nothing if it was done, or never was.
  void cancel(Id id);

  // The earliest by each clock.
  [[nodiscard]] Moment next() const noexcept;
  // Does what is due, in the order in which it was asked for. What a task adds waits for the next
  // run; what it cancels is not done.
  void run();

 private:
  struct Entry {
    Moment when;
    Task task;
  };
  const Clock& clock_;
  std::map<Id, Entry> entries_;
  Id last_ = 0;
};

}  // namespace cs::keyms
