// SPDX-License-Identifier: GPL-3.0-or-later
// What the network worker tells the journal of whom it turned away: a line for each reason at most
// every ten seconds, with how many there were.
#pragma once

#include <array>
#include <iostream>
#include <optional>
#include <string>

#include "base/clock.h"
#include "keyms/carrier/refusal.h"

namespace cs::keyms::carrier {

class RefusalLog {
 public:
  static constexpr std::chrono::seconds interval{10};

  explicit RefusalLog(std::ostream& out) : out_(&out) {}

  void tell(BootTime now, Refusal refusal, const std::string& who) {
    Line& line = lines_.at(static_cast<std::size_t>(refusal));
    if (line.told && now - *line.told < interval) {
      ++line.untold;
      return;
    }
    constexpr const char* warning = "<4>";  // SD_WARNING
    *out_ << warning << "turned away " << who << ": " << to_string(refusal);
    if (line.untold > 0) *out_ << ", and " << line.untold << " others for the same reason";
    *out_ << std::endl;
    line = {now, 0};
  }

 private:
  struct Line {
    std::optional<BootTime> told;
    std::uint64_t untold = 0;
  };
  std::ostream* out_;
  std::array<Line, refusal_count> lines_{};
};

}  // namespace cs::keyms::carrier
