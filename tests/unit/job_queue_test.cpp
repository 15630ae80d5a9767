// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/job_queue.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/unwrap.h"

namespace {

using cs::test::get;
using cs::tpm::Device;
using cs::tpm::Job;
using cs::tpm::JobQueue;
using cs::tpm::Priority;

class Queue : public ::testing::Test {
 protected:
  // Each job writes one letter when it runs.
  void push(Priority priority, char letter) {
    get(queue.push(priority,
                   [this, letter](const cs::Result<Device*>& /*unused*/) { done += letter; }));
  }
  std::string run(std::size_t jobs) {
    done.clear();
    for (; jobs > 0; --jobs) {
      const Job job = queue.pop();
      if (job) job(nullptr);
    }
    return done;
  }
  JobQueue queue;
  std::string done;
};

TEST_F(Queue, ExtendsThenQuotesThenSignaturesThenTheRest) {
  for (const char round : {'0', '1'}) {
    push(Priority::background, 'b');
    push(Priority::signature, 's');
    push(Priority::quote, 'q');
    push(Priority::extend, round);
  }
  EXPECT_EQ(run(9), "01qqssbb");
  EXPECT_TRUE(queue.empty());
}

TEST_F(Queue, NothingStarvesBelowAFlood) {
  push(Priority::background, 'b');
  push(Priority::signature, 's');
  push(Priority::quote, 'q');
  for (int i = 0; i < 200; ++i) push(Priority::extend, 'e');
  const std::string order = run(60);
  EXPECT_EQ(order.find('q'), JobQueue::patience[1]) << order;
  EXPECT_EQ(order.find('s'), JobQueue::patience[2]) << order;
  EXPECT_EQ(order.find('b'), JobQueue::patience[3]) << order;
}

TEST_F(Queue, AtMostOneSignatureGoesBeforeADueQuote) {
  for (int i = 0; i < 40; ++i) push(Priority::signature, 's');
  EXPECT_EQ(run(1), "s");  // under way when the quote comes
  push(Priority::quote, 'q');
  EXPECT_EQ(run(1), "q");
  // Signatures that have waited long enough overtake, but not two of them.
  for (int i = 0; i < 60; ++i) {
    push(Priority::quote, 'q');
    push(Priority::extend, 'e');
  }
  const std::string order = run(120);
  EXPECT_NE(order.find('s'), std::string::npos) << order;
  std::size_t since_quote = 0;
  for (const char letter : order) {
    if (letter == 'q') since_quote = 0;
    if (letter == 's') ++since_quote;
    EXPECT_LE(since_quote, 1U) << order;
  }
}

TEST_F(Queue, ASignatureUnderWayKeepsTheNextFromOvertaking) {
  for (int i = 0; i < 30; ++i) push(Priority::extend, 'e');
  push(Priority::signature, 's');
  push(Priority::signature, 't');
  EXPECT_EQ(run(17), "eeeeeeeeeeeeeeees");  // it has waited long enough
  push(Priority::quote, 'q');
  for (int i = 0; i < 60; ++i) push(Priority::extend, 'e');
  const std::string order = run(40);
  EXPECT_LT(order.find('q'), order.find('t')) << order;
}

TEST_F(Queue, IsBoundedForEachPriorityByItself) {
  for (std::size_t i = 0; i < JobQueue::most; ++i) push(Priority::background, 'b');
  const auto refused = queue.push(Priority::background, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), cs::ErrorKind::busy);
  EXPECT_EQ(refused.error().retry(), cs::Retry::after_delay);
  EXPECT_EQ(refused.error().message(), "the TPM's queue is full: 256 such jobs wait");
  push(Priority::extend, 'e');
  EXPECT_EQ(run(1), "e");
}

}  // namespace
