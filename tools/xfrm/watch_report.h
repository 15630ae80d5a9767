// SPDX-License-Identifier: GPL-3.0-or-later
// A line for each thing that `countersign xfrm watch` tells.
#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "xfrm/agreement/difference.h"
#include "xfrm/state/model.h"
#include "xfrm/watch/mirror.h"

namespace cs::xfrm {

// Stable, for machines: "sa_new".
[[nodiscard]] std::string_view code_of(Event::Kind kind) noexcept;

class WatchReport {
 public:
  WatchReport(bool json, const Clock& clock, std::ostream& out)
      : json_(json), clock_(clock), out_(out) {}

  void began(const State& state);
  void change(const Change& change);
  void drift(const Difference& one, bool begun);
  void ended(const MirrorCounters& counters);

 private:
  void write(std::string_view code, const std::string& sentence,
             const nlohmann::ordered_json& more);

  bool json_;
  const Clock& clock_;
  std::ostream& out_;
};

}  // namespace cs::xfrm
