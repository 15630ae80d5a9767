// SPDX-License-Identifier: GPL-3.0-or-later
// Keeps packets of SAs that are not admitted yet: those of a new SA come while its two gateways
// still agree on it. What is admitted in time goes on as if it had never waited; the others are
// dropped, and all of them when the holder ends.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "xfrm/gate/gate.h"
#include "xfrm/gate/sa_of.h"
#include "xfrm/queue/queue.h"

namespace cs::xfrm {

class Holder {
 public:
  struct Options {
    std::uint16_t queue = 0;  // GateConfig::held_queue
    std::size_t most = 256;   // packets; more push out the oldest
    std::chrono::milliseconds longest{2000};
  };
  struct Counters {
    std::uint64_t held = 0;      // came
    std::uint64_t released = 0;  // went on
    std::uint64_t expired = 0;   // dropped: not admitted in time
    std::uint64_t pushed_out = 0;
    std::uint64_t nameless = 0;  // dropped: of no SA that sa_of() knows
  };

  // Of the calling thread's network namespace. `exists` or `busy`: somebody listens already.
  static Result<Holder> open(const Options& options, const Clock& clock);

  // Readable, or past the deadline: call run(), which never waits.
  [[nodiscard]] int fd() const noexcept { return queue_.fd(); }
  [[nodiscard]] BootTime deadline() const noexcept;
  Result<void> run();

  // Lets go what waits of this SA. To be called after Gate::admit(), so that nothing of it comes
  // here any more.
  Result<void> admitted(const Passage& passage);

  // What waits, without doubles: who has to be agreed on.
  [[nodiscard]] std::vector<SaName> waiting() const;
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct Waiting {
    std::uint32_t id = 0;
    SaName sa;
    BootTime since;
  };

  Holder(Queue queue, const Options& options, const Clock& clock)
      : queue_(std::move(queue)), options_(options), clock_(&clock) {}
  Result<void> take();
  Result<void> drop_oldest(std::uint64_t& counter);

  Queue queue_;
  Options options_;
  const Clock* clock_;
  std::deque<Waiting> waiting_;
  std::vector<Queue::Held> received_;
  Counters counters_;
};

}  // namespace cs::xfrm
