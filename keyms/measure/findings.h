// SPDX-License-Identifier: GPL-3.0-or-later
// Which drift is to stand open in the logs, of all that was found: a flood of findings must not
// fill a log, which cannot be shortened within a boot.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "keyms/measure/story.h"
#include "xfrm/agreement/difference.h"

namespace cs::keyms {

// "CODE TUNNEL: sentence", as a log takes it: printable ASCII, at most 1024 bytes.
[[nodiscard]] std::string drift_text(const xfrm::Difference& found);

class Findings {
 public:
  // So many are told one by one in a minute; the others stand in one text that counts them, and
  // which changes once a minute at most.
  static constexpr std::size_t each_minute = 16;

  // `found`: all that is so now, of which only breaches are drift. `open`: what stands open in the
  // logs now; nothing else needs to be remembered from one process to the next.
  [[nodiscard]] std::set<std::string> due(const std::set<xfrm::Difference>& found,
                                          const std::set<std::string>& open, BootTime now);

 private:
  void add_uncounted(std::set<std::string>& due, std::size_t uncounted,
                     const std::set<std::string>& open, BootTime now);

  std::optional<BootTime> minute_;  // in which
  std::size_t told_ = 0;            // so many were told
  std::optional<BootTime> summed_;  // when the text that counts was told
};

}  // namespace cs::keyms
