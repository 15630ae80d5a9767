// SPDX-License-Identifier: GPL-3.0-or-later
// Watches the kernel's IPsec for drift. One thread, and the loop of whoever has it: poll the
// source's descriptor until deadline(), then run().
//
// Drift is told a tenth of a second after the kernel's event, or within an audit's interval and a
// quarter of a second where the event was lost or there is none. Deadlines are of the boot clock,
// so nobody delays an audit by setting the time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "xfrm/agreement/difference.h"
#include "xfrm/watch/mirror.h"
#include "xfrm/watch/reconciler.h"

namespace cs::xfrm {

struct WatchOptions {
  std::chrono::seconds audit_interval{60};
  std::chrono::seconds grace{10};  // of an SA that nobody answers for
  // What of a state should not be so. Called after changes, a batch at a time.
  std::function<std::vector<Difference>(const State&)> judge;
  // Which SAs are answered for; none: nobody is asked. May take half a second at most.
  Reconciler::Ask known;
  std::function<void(const Change&)> on_change;
  // Each finding once when it begins and once when it has ended.
  std::function<void(const Difference&, bool begun)> on_drift;
};

class Watcher {
 public:
  // Everything given must outlive it. What is found at once is told at the first run().
  static Result<std::unique_ptr<Watcher>> open(Source& source, const Clock& clock,
                                               WatchOptions options);

  [[nodiscard]] BootTime deadline() const noexcept;
  // Fails if the kernel cannot be read: then nothing is watched any more.
  Result<void> run();

  // What is to be expected has changed: the next run() judges.
  void judge_again() noexcept { next_judging_ = clock_.boot(); }

  [[nodiscard]] const State& state() { return mirror_->state(); }
  [[nodiscard]] const MirrorCounters& counters() const noexcept { return mirror_->counters(); }
  [[nodiscard]] const std::set<Difference>& drift() const noexcept { return drift_; }

 private:
  Watcher(const Clock& clock, WatchOptions options);

  void note(const Change& change);
  Result<void> audit(BootTime now);
  void judge(BootTime now);

  const Clock& clock_;
  WatchOptions options_;
  std::optional<Mirror> mirror_;
  std::optional<Reconciler> reconciler_;
  std::set<Difference> drift_;
  bool more_ = false;    // of what the kernel tells
  bool audits_ = false;  // one has begun
  BootTime next_audit_;  // its beginning, or its end
  BootTime next_judging_;
};

}  // namespace cs::xfrm
