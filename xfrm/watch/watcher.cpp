// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/watch/watcher.h"

#include <algorithm>
#include <utility>

namespace cs::xfrm {
namespace {

using namespace std::chrono_literals;

constexpr auto batch = 100ms;     // so long changes are gathered
constexpr auto settling = 200ms;  // so long an event may be under way
constexpr auto soon = 5s;         // an audit because of doubt

}  // namespace

Watcher::Watcher(const Clock& clock, WatchOptions options)
    : clock_(clock), options_(std::move(options)) {
  if (options_.known) reconciler_.emplace(options_.known, options_.grace);
  next_judging_ = clock_.boot();
  next_audit_ = next_judging_ + options_.audit_interval;
}

Result<std::unique_ptr<Watcher>> Watcher::open(Source& source, const Clock& clock,
                                               WatchOptions options) {
  std::unique_ptr<Watcher> watcher(new Watcher(clock, std::move(options)));
  Watcher* const self = watcher.get();
  CS_TRY(auto mirror, Mirror::open(source, [self](const Change& change) { self->note(change); }));
  watcher->mirror_.emplace(std::move(mirror));
  return watcher;
}

BootTime Watcher::deadline() const noexcept {
  if (more_) return clock_.boot();
  return std::min(next_audit_, next_judging_);
}

void Watcher::note(const Change& change) {
  next_judging_ = std::min(next_judging_, clock_.boot() + batch);
  if (options_.on_change) options_.on_change(change);
}

Result<void> Watcher::run() {
  CS_TRY(more_, mirror_->follow());
  const BootTime now = clock_.boot();
  // A loss has made the mirror read all anew already.
  if (audits_ && !mirror_->in_audit()) {
    audits_ = false;
    next_audit_ = now + options_.audit_interval;
  }
  if (mirror_->take_doubt() && !audits_) next_audit_ = std::min(next_audit_, now + soon);
  if (now >= next_audit_) CS_CHECK(audit(now));
  if (now >= next_judging_) judge(now);
  return {};
}

Result<void> Watcher::audit(BootTime now) {
  if (audits_) {
    CS_CHECK(mirror_->end_audit());
    next_audit_ = now + options_.audit_interval;
  } else {
    CS_CHECK(mirror_->begin_audit());
    next_audit_ = now + settling;
  }
  audits_ = !audits_;
  return {};
}

void Watcher::judge(BootTime now) {
  const State& state = mirror_->state();
  std::set<Difference> found;
  if (options_.judge) {
    for (Difference& one : options_.judge(state)) found.insert(std::move(one));
  }
  next_judging_ = BootTime::max();
  if (reconciler_) {
    for (Difference& one : reconciler_->judge(state, now)) found.insert(std::move(one));
    next_judging_ = reconciler_->due();
  }
  const std::set<Difference> before = std::exchange(drift_, std::move(found));
  if (!options_.on_drift) return;
  for (const Difference& one : before) {
    if (!drift_.contains(one)) options_.on_drift(one, false);
  }
  for (const Difference& one : drift_) {
    if (!before.contains(one)) options_.on_drift(one, true);
  }
}

}  // namespace cs::xfrm
