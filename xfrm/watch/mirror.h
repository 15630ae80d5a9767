// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's IPsec state, kept equal to the kernel's by following its events.
//
// Subscribed first, then read, then changed by what came meanwhile. XFRM never tells that a table
// changed while it was read, so one that did is read again; but a table never rests on a busy
// gateway, and each event tells the whole of what it is about, so after some attempts what was read
// and what came meanwhile are together taken for the truth, and a soon audit is asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/result.h"
#include "xfrm/state/model.h"
#include "xfrm/watch/source.h"
#include "xfrm/watch/tables.h"

namespace cs::xfrm {

struct MirrorCounters {
  std::uint64_t events = 0;   // told by the kernel
  std::uint64_t lost = 0;     // times that some were lost
  std::uint64_t audits = 0;   // ended
  std::uint64_t repairs = 0;  // changes found, not told
};

class Mirror {
 public:
  using Tell = std::function<void(const Change&)>;

  // `source` must outlive it. `tell` is called with each change, from the first reading on.
  static Result<Mirror> open(Source& source, Tell tell);

  // Takes what the kernel has told, and reads all anew if some of it was lost. Returns whether
  // there may be more: a flood is taken in parts.
  Result<bool> follow();

  // An audit reads all anew beside the mirror. A change whose event is still on its way must not
  // be taken for one that was missed: end it some tenths of a second later, with follow() between.
  Result<void> begin_audit();
  // Compares: what differs is told as found, and the mirror is as the kernel again.
  Result<void> end_audit();
  [[nodiscard]] bool in_audit() const noexcept { return audited_.has_value(); }

  // Something came that only an audit can tell the meaning of. Once for each time.
  [[nodiscard]] bool take_doubt() noexcept { return std::exchange(doubt_, false); }

  // Valid until the next call.
  [[nodiscard]] const State& state() { return tables_.state(); }
  [[nodiscard]] const MirrorCounters& counters() const noexcept { return counters_; }

 private:
  Mirror(Source& source, Tell tell) : source_(&source), tell_(std::move(tell)) {}

  Result<Tables> dump() const;
  // As of now: dumped, and changed by what came meanwhile, as the mirror itself is.
  Result<Tables> read();
  // Takes datagrams, at most so many: true if there may be more.
  Result<bool> drain(std::size_t most, Tables* beside);
  Result<void> take(Event event, Tables* beside);
  Result<void> read_after_update(Event& event);
  Result<void> repair(Tables now);

  Source* source_;
  Tell tell_;
  Tables tables_;
  std::optional<Tables> audited_;
  MirrorCounters counters_;
  bool lost_ = false;   // events, and nothing has been read since
  bool moved_ = false;  // something was made or removed
  bool doubt_ = false;
};

}  // namespace cs::xfrm
