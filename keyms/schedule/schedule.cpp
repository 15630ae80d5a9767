// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/schedule/schedule.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace cs::keyms {

Result<Schedule::Id> Schedule::at(Moment when, Task task) {
  if (entries_.size() >= most) {
    return Error(ErrorKind::limit, "a schedule of more than " + std::to_string(most) + " tasks");
  }
  entries_.emplace(++last_, Entry{when, std::move(task)});
  return last_;
}

void Schedule::cancel(Id id) {
  entries_.erase(id);
}

Moment Schedule::next() const noexcept {
  Moment next;
  for (const auto& [id, entry] : entries_) {
    next.wall = std::min(next.wall, entry.when.wall);
    next.boot = std::min(next.boot, entry.when.boot);
  }
  return next;
}

void Schedule::run() {
  std::vector<Id> due;
  for (const auto& [id, entry] : entries_) {
    if (entry.when.has_come(clock_)) due.push_back(id);
  }
  for (const Id id : due) {
    // Out of the map first: the task may cancel itself.
    const auto entry = entries_.extract(id);
    if (entry) entry.mapped().task();
  }
}

}  // namespace cs::keyms
