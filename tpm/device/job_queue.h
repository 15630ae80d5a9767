// SPDX-License-Identifier: GPL-3.0-or-later
// In which order a TPM's jobs are done. No threads here: see owner.h.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "base/result.h"

namespace cs::tpm {

class Device;

// The first goes first.
enum class Priority : std::uint8_t { extend, quote, signature, background };
inline constexpr std::size_t priorities = 4;

// What is to be done: with a device, or with the error that keeps it from being done. Exactly once.
using Job = std::function<void(Result<Device*>)>;

// A job that has let `patience` of higher ones pass goes next, so that nothing starves. A quote
// lets 4 pass and a signature 16, so at most one signature goes before a quote that is next in
// line.
class JobQueue {
 public:
  static constexpr std::size_t most = 256;  // of each priority, so that a flood refuses itself only
  static constexpr std::array<unsigned, priorities> patience{0, 4, 16, 32};

  // Refused (busy, after_delay): as many wait already. The job is then not touched.
  [[nodiscard]] Result<void> push(Priority priority, Job job);
  // Empty when nothing waits.
  [[nodiscard]] Job pop();
  [[nodiscard]] bool empty() const noexcept;

 private:
  [[nodiscard]] bool may_overtake(std::size_t level) const noexcept;

  std::array<std::deque<Job>, priorities> waiting_;
  std::array<unsigned, priorities> passed_{};
};

}  // namespace cs::tpm
