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

  struct Finding {
    std::string words;  // empty: nothing is the matter
    std::string mend;
    bool operator==(const Finding&) const = default;
  };
  // Past the deadline: whether the finding is another than it was.
  [[nodiscard]] BootTime deadline() const noexcept { return next_; }
  [[nodiscard]] bool look();
  [[nodiscard]] const Finding& found() const noexcept { return found_; }

 private:
  [[nodiscard]] Finding compare() const;

  std::string path_;
  Hash running_;
  const Clock* clock_;
  BootTime next_;
  Finding found_;
};

}  // namespace cs::keyms
