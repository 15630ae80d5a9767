// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/watch/mirror.h"

#include <cerrno>
#include <utility>

namespace cs::xfrm {
namespace {

// A datagram is one event, but for what the kernel puts together.
constexpr std::size_t datagrams_per_turn = 2000;
// As many as come during a dump of everything, and then some; a flood does not end.
constexpr std::size_t datagrams_per_dump = 200'000;
constexpr int dumps = 3;

bool moves(Event::Kind kind) noexcept {
  using Kind = Event::Kind;
  return kind != Kind::sa_replay && kind != Kind::acquire && kind != Kind::mapping &&
         kind != Kind::report;
}

}  // namespace

Result<Mirror> Mirror::open(Source& source, Tell tell) {
  Mirror mirror(source, std::move(tell));
  CS_TRY(mirror.tables_, mirror.read());
  return mirror;
}

Result<bool> Mirror::follow() {
  CS_TRY(const bool more, drain(datagrams_per_turn, audited_ ? &*audited_ : nullptr));
  if (!lost_) return more;
  audited_.reset();  // it lacks what was lost, too
  CS_TRY(Tables now, read());
  CS_CHECK(repair(std::move(now)));
  return true;
}

Result<void> Mirror::begin_audit() {
  CS_TRY(audited_, read());
  return {};
}

Result<void> Mirror::end_audit() {
  if (!audited_) return {};
  ++counters_.audits;
  Tables now = std::move(*audited_);
  audited_.reset();
  return repair(std::move(now));
}

Result<Tables> Mirror::dump() const {
  Tables fresh;
  CS_CHECK(source_->each_policy([&](Policy policy) { return fresh.add(std::move(policy)); }));
  CS_CHECK(source_->each_sa([&](Sa sa) { return fresh.add(std::move(sa)); }));
  CS_TRY(const auto defaults, source_->defaults());
  CS_TRY(auto switches, source_->switches());
  fresh.set(defaults);
  fresh.set(std::move(switches));
  return fresh;
}

Result<Tables> Mirror::read() {
  Tables fresh;
  for (int attempt = 0; attempt < dumps; ++attempt) {
    lost_ = false;
    moved_ = false;
    CS_TRY(fresh, dump());
    CS_TRY(const bool more, drain(datagrams_per_dump, &fresh));
    if (!lost_ && !moved_ && !more) return fresh;
  }
  lost_ = false;  // not at once again: it would never end
  doubt_ = true;
  return fresh;
}

Result<bool> Mirror::drain(std::size_t most, Tables* beside) {
  const auto on_event = [&](Event event) { return take(std::move(event), beside); };
  for (std::size_t taken = 0; taken < most; ++taken) {
    auto more = source_->next(on_event);
    if (!more.ok() && more.error().os_error() == ENOBUFS) {
      ++counters_.lost;
      lost_ = true;
      tell_(Change{Change::How::lost, {}, {}});
      continue;
    }
    if (!more.ok()) return std::move(more).error();
    if (!*more) return false;
  }
  return true;
}

// An update of an SA tells what was asked for, and the kernel takes little of it for an SA that is
// in use. What is gone meanwhile will be told so.
Result<void> Mirror::read_after_update(Event& event) {
  if (event.kind != Event::Kind::sa_update || !event.sa) return {};
  CS_TRY(auto now, source_->sa(event.sa->id));
  if (now) event.sa = std::move(now);
  return {};
}

Result<void> Mirror::take(Event event, Tables* beside) {
  ++counters_.events;
  CS_CHECK(read_after_update(event));
  moved_ = moved_ || moves(event.kind);
  // A migration changes policies and SAs alike, by a list of addresses.
  doubt_ = doubt_ || event.kind == Event::Kind::unknown || event.kind == Event::Kind::migrate;
  CS_CHECK(tables_.apply(event));
  if (beside != nullptr) CS_CHECK(beside->apply(event));
  Change change;
  change.event = std::move(event);
  tell_(change);
  return {};
}

Result<void> Mirror::repair(Tables now) {
  for (const Change& change : tables_.differences(now)) {
    ++counters_.repairs;
    tell_(change);
  }
  tables_ = std::move(now);
  return {};
}

}  // namespace cs::xfrm
