// SPDX-License-Identifier: GPL-3.0-or-later
// One measurement of one mode. Each fails when packets were lost that should not be, or when the
// mode did not do its work.
#pragma once

#include "tools/bench/rig.h"

namespace cs::bench {

struct Sample {
  double pps = 0;
  double cpu_us_per_packet = 0;  // of the engines' threads
  double overhead_bytes = 0;     // that a packet grew by on the wire
  double memory_mib = 0;         // that an engine took, resident; only live
  Drops drops;
};

// A full queue, emptied by the engine alone, again and again until `seconds` were spent emptying.
Result<Sample> drain(const Context& context, const Mode& mode, const Network& network, Feed& feed);

// Sender and engine at the same time. The sender never has more packets under way than the queue
// holds, so that none is lost and the engine always finds some.
Result<Sample> live(const Context& context, const Mode& mode, const Network& network, Feed& feed);

struct Paced {
  double offered_pps = 0;
  double delivered_pps = 0;
  double loss = 0;  // 0 to 1
  double p50_us = 0;
  double p90_us = 0;
  double p99_us = 0;
};
// Packets at a constant rate, whether they get through or not, and how long they take to a receiver
// behind the engines. Forged ones count towards the rate only.
Result<Paced> pace(const Context& context, const Mode& mode, const Network& network, Feed& feed,
                   double pps, double seconds);

// One batch through a mode that signs, taken from the wire: each packet must verify and be what it
// was once its extension is gone.
Result<void> prove_signatures(const Context& context, const Mode& mode, const Network& network);

// The most packets of such a feed that are made beforehand.
[[nodiscard]] std::size_t stock_size(const Context& context, const Feed& feed, double wanted);

}  // namespace cs::bench
