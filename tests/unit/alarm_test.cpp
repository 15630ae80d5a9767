// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's own timers. The machine's clock is set to what it is: for the kernel that is a step,
// for everybody else a few microseconds.
#include "keyms/schedule/alarm.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cerrno>
#include <ctime>

#include "keyms/schedule/clock_guard.h"
#include "keyms/schedule/schedule.h"
#include "tests/support/require.h"
#include "tests/support/unwrap.h"

namespace {

using namespace std::chrono_literals;
using cs::BootTime;
using cs::WallTime;
using cs::keyms::Alarm;
using cs::keyms::Moment;
using cs::test::get;

void set_clock() {
  timespec now{};
  ASSERT_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
  ASSERT_EQ(clock_settime(CLOCK_REALTIME, &now), 0);
}

class AlarmTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (clock_settime(CLOCK_REALTIME, &now) != 0) {
      cs::test::require::missing("this process may not set the clock", "run as root");
    }
  }
  // Whether it rings within that time.
  bool rings(std::chrono::milliseconds within) const {
    pollfd readable{alarm.fd(), POLLIN, 0};
    return ::poll(&readable, 1, static_cast<int>(within.count())) == 1;
  }
  cs::SystemClock clock;
  Alarm alarm = get(Alarm::open());
};

TEST_F(AlarmTest, RingsAtEitherMoment) {
  EXPECT_FALSE(rings(0ms));
  const BootTime boot = clock.boot() + 30ms;
  get(alarm.set({WallTime::max(), boot}));
  EXPECT_TRUE(rings(10s));
  EXPECT_GE(clock.boot(), boot);
  EXPECT_TRUE(rings(0ms));  // until it is cleared
  alarm.clear();
  EXPECT_FALSE(rings(0ms));
  const WallTime wall = clock.wall() + 30ms;
  get(alarm.set({wall, clock.boot() + 1h}));
  EXPECT_FALSE(rings(0ms));
  EXPECT_TRUE(rings(10s));
  EXPECT_GE(clock.wall(), wall);
}

TEST_F(AlarmTest, RingsAtOnceForWhatHasBeen) {
  const std::vector<Moment> past{{WallTime::min(), BootTime::max()},
                                 {WallTime(), BootTime::max()},
                                 {clock.wall() - 1s, BootTime::max()},
                                 {WallTime::max(), BootTime()},
                                 {WallTime::max(), clock.boot() - 1ns}};
  for (const Moment& moment : past) {
    get(alarm.set(moment));
    EXPECT_TRUE(rings(10s));
    get(alarm.set({}));
    EXPECT_FALSE(rings(0ms));
  }
}

TEST_F(AlarmTest, RingsWhenTheClockIsSet) {
  for (const Moment& moment : {Moment(), Moment{clock.wall() + 1h, clock.boot() + 1h}}) {
    for (int again = 0; again < 3; ++again) {
      get(alarm.set(moment));
      EXPECT_FALSE(rings(0ms));
      set_clock();
      EXPECT_TRUE(rings(10s));
      alarm.clear();
      EXPECT_FALSE(rings(0ms));
    }
  }
}

// While its owner is busy with what has rung.
TEST_F(AlarmTest, RingsWhenTheClockWasSetBeforeTheAlarmIs) {
  alarm.clear();
  set_clock();
  get(alarm.set({clock.wall() + 1h, clock.boot() + 1h}));
  EXPECT_TRUE(rings(10s));
  alarm.clear();
  get(alarm.set({clock.wall() + 1h, clock.boot() + 1h}));
  EXPECT_FALSE(rings(0ms));
}

TEST_F(AlarmTest, DrivesASchedule) {
  cs::keyms::Schedule schedule(clock);
  cs::keyms::ClockGuard guard(clock);
  int left = 3;
  std::function<void()> task = [&] {
    if (--left > 0) get(schedule.at({WallTime::max(), clock.boot() + 5ms}, task));
  };
  get(schedule.at({clock.wall() + 5ms, BootTime::max()}, task));
  for (int turns = 0; left > 0 && turns < 100; ++turns) {
    get(alarm.set(schedule.next()));
    ASSERT_TRUE(rings(10s));
    alarm.clear();
    EXPECT_FALSE(guard.look());
    schedule.run();
  }
  EXPECT_EQ(left, 0);
}

}  // namespace
