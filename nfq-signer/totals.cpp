// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/totals.h"

namespace cs {

namespace {

std::uint64_t sum(const WorkerCounters::ByReason& counters) noexcept {
  std::uint64_t out = 0;
  for (const Counter& counter : counters) out += counter.value();
  return out;
}

}  // namespace

void add_to(keyms::Status& totals, const WorkerCounters& worker) noexcept {
  const auto bad = static_cast<std::size_t>(Reason::bad_signature);
  totals.packets_signed += worker.signed_out.value();
  totals.batches_signed += worker.batches.value();
  totals.packets_accepted +=
      worker.verified.value() + worker.unasked.value() + sum(worker.tolerated);
  totals.packets_dropped += sum(worker.dropped) + worker.no_peer.value() + worker.closed.value() +
                            worker.signer_failed.value() + worker.truncated.value() +
                            worker.unusable.value();
  totals.bad_signatures += worker.dropped.at(bad).value() + worker.tolerated.at(bad).value();
}

}  // namespace cs
