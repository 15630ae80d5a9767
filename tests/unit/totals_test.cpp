// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/totals.h"

#include <gtest/gtest.h>

namespace cs {
namespace {

TEST(Totals, EachPacketIsCountedWhereItBelongs) {
  WorkerCounters out;
  out.signed_out.set(1);
  out.batches.set(2);
  out.signer_failed.set(4);
  out.closed.set(8);
  out.untouched.set(16);
  out.lost.set(32);
  WorkerCounters in;
  in.verified.set(1);
  in.unasked.set(2);
  WorkerCounters::of(in.tolerated, Reason::bad_signature).set(4);
  WorkerCounters::of(in.tolerated, Reason::stale).set(8);
  WorkerCounters::of(in.dropped, Reason::bad_signature).set(16);
  WorkerCounters::of(in.dropped, Reason::no_extension).set(32);
  in.no_peer.set(64);
  in.truncated.set(128);
  in.unusable.set(256);
  keyms::Status totals;
  add_to(totals, out);
  EXPECT_EQ(totals, (keyms::Status{1, 2, 0, 4 + 8, 0}));
  add_to(totals, in);
  EXPECT_EQ(totals, (keyms::Status{1, 2, 1 + 2 + 4 + 8, 12 + 16 + 32 + 64 + 128 + 256, 4 + 16}));
}

}  // namespace
}  // namespace cs
