// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/loop.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "base/unique_fd.h"
#include "tests/support/unwrap.h"

namespace cs::keyms {
namespace {

using std::chrono::milliseconds;

struct Part final : LoopPart {
  void wait(Waits& waits) const override {
    waits.on(fd);
    waits.until(time);
  }
  Result<void> run() override {
    ++runs;
    if (then) then();
    return fails ? Result<void>(Error(ErrorKind::internal, "over")) : Result<void>();
  }

  int fd = -1;
  std::optional<BootTime> time;
  std::function<void()> then;
  bool fails = false;
  int runs = 0;
};

class LoopTest : public ::testing::Test {
 protected:
  LoopTest() { loop.add(part); }
  BootTime in(milliseconds time) const { return clock.boot() + time; }
  milliseconds turn_takes() {
    const BootTime start = clock.boot();
    test::get(loop.turn());
    return std::chrono::duration_cast<milliseconds>(clock.boot() - start);
  }

  SystemClock clock;
  Loop loop{clock};
  Part part;
  UniqueFd event{::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
};

TEST_F(LoopTest, RunsWhoseDescriptorIsReadyAndNobodyElse) {
  Part other;
  other.fd = event.get();
  loop.add(other);
  test::get(loop.turn());
  EXPECT_EQ(other.runs, 1);
  EXPECT_EQ(part.runs, 0);
}

TEST_F(LoopTest, RunsWhoseTimeHasComeAndNotBefore) {
  Part other;
  other.time = in(milliseconds(500));
  loop.add(other);
  part.time = in(milliseconds(20));
  const milliseconds took = turn_takes();
  EXPECT_GE(took, milliseconds(20));
  EXPECT_LT(took, milliseconds(400));
  EXPECT_EQ(part.runs, 1);
  EXPECT_EQ(other.runs, 0);
  part.time = in(milliseconds(-5));
  EXPECT_LT(turn_takes(), milliseconds(400)) << "what is past is due";
  EXPECT_EQ(part.runs, 2);
}

TEST_F(LoopTest, GoesRoundEachSecondHoweverLittleHappens) {
  part.time = in(std::chrono::hours(1));
  const milliseconds took = turn_takes();
  EXPECT_GE(took, Loop::longest);
  EXPECT_LT(took, Loop::longest + milliseconds(900));
}

TEST_F(LoopTest, WhatIsAddedMeanwhileHasItsTurnNext) {
  Part other;
  other.fd = event.get();
  part.time = in(milliseconds(0));
  part.then = [&] { loop.add(other); };
  test::get(loop.turn());
  EXPECT_EQ(other.runs, 0);
  part.then = nullptr;
  test::get(loop.turn());
  EXPECT_EQ(other.runs, 1);
}

TEST_F(LoopTest, AnErrorEndsTheTurn) {
  Part other;
  other.fd = part.fd = event.get();
  loop.add(other);
  part.fails = true;
  EXPECT_EQ(loop.turn().error().message(), "over");
  EXPECT_EQ(other.runs, 0);
}

}  // namespace
}  // namespace cs::keyms
