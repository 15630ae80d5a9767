// SPDX-License-Identifier: GPL-3.0-or-later
// Notices that the configuration's file is no longer what keymsd runs with. The configuration is
// measured: with another one the store stays closed after the next boot, unless keymsd was
// restarted with it before.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "keyms/daemon/config.h"

namespace cs::keyms {

class ConfigWatch {
 public:
  static constexpr std::chrono::seconds looks_every{5};

  // `running`: the digest of what was read from there. The clock must outlive it.
  ConfigWatch(std::string path, const Hash& running, const Clock& clock)
      : path_(std::move(path)), running_(running), clock_(&clock) {}

  // Past the deadline: whether words() are others than they were.
  [[nodiscard]] BootTime deadline() const noexcept { return next_; }
  [[nodiscard]] bool look();
  // What is the matter; empty: nothing is.
  [[nodiscard]] const std::string& words() const noexcept { return words_; }

 private:
  [[nodiscard]] std::string compare() const;

  std::string path_;
  Hash running_;
  const Clock* clock_;
  BootTime next_;
  std::string words_;
};

}  // namespace cs::keyms
