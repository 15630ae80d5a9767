// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/job_queue.h"

#include <algorithm>
#include <string>
#include <utility>

namespace cs::tpm {

Result<void> JobQueue::push(Priority priority, Job job) {
  const auto level = static_cast<std::size_t>(priority);
  auto& row = waiting_.at(level);
  if (row.size() == most) {
    return Error(ErrorKind::busy,
                 "the TPM's queue is full: " + std::to_string(most) + " such jobs wait")
        .with_retry(Retry::after_delay);
  }
  row.push_back(std::move(job));
  return {};
}

bool JobQueue::may_overtake(std::size_t level) const noexcept {
  return !waiting_.at(level).empty() && passed_.at(level) >= patience.at(level);
}

Job JobQueue::pop() {
  std::size_t next = priorities;
  for (std::size_t level = 0; level < priorities && next == priorities; ++level) {
    if (!waiting_.at(level).empty()) next = level;
  }
  if (next == priorities) return {};
  const std::size_t first = next;
  for (std::size_t level = first + 1; level < priorities && next == first; ++level) {
    if (may_overtake(level)) next = level;
  }
  for (std::size_t level = next + 1; level < priorities; ++level) {
    if (!waiting_.at(level).empty()) ++passed_.at(level);
  }
  passed_.at(next) = 0;
  Job job = std::move(waiting_.at(next).front());
  waiting_.at(next).pop_front();
  return job;
}

bool JobQueue::empty() const noexcept {
  return std::ranges::all_of(waiting_, [](const auto& row) { return row.empty(); });
}

}  // namespace cs::tpm
