// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <ctime>
#include <limits>
#include <type_traits>

#include "tests/support/manual_clock.h"

namespace cs {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;
using test::ManualClock;

template <class A, class B>
concept Mixable = requires(A a, B b) {
  a < b;
}
|| requires(A a, B b) {
  a - b;
}
|| requires(A a, B b) {
  a == b;
}
|| std::convertible_to<A, B>;
static_assert(Mixable<WallTime, WallTime> && Mixable<BootTime, BootTime>);
static_assert(!Mixable<WallTime, BootTime> && !Mixable<BootTime, WallTime>);
static_assert(!Mixable<WallTime, std::chrono::system_clock::time_point>);
static_assert(!Mixable<BootTime, std::chrono::steady_clock::time_point>);
static_assert(!std::is_copy_constructible_v<SystemClock>);

TEST(SystemClock, TellsTheWallTimeOfThisMachine) {
  const std::time_t before = std::time(nullptr);
  const std::time_t now = to_time_t(SystemClock().wall());
  // time() may lag a tick behind clock_gettime.
  EXPECT_GE(now, before);
  EXPECT_LE(now, std::time(nullptr) + 1);
}

TEST(SystemClock, TellsTheTimeSinceBoot) {
  const SystemClock clock;
  timespec before{};
  ASSERT_EQ(clock_gettime(CLOCK_BOOTTIME, &before), 0);
  const BootTime now = clock.boot();
  EXPECT_GE(now.time_since_epoch(), seconds(before.tv_sec) + nanoseconds(before.tv_nsec));
  EXPECT_LT(now.time_since_epoch(), seconds(before.tv_sec + 60));
  EXPECT_LE(now, clock.boot());
}

TEST(ManualClock, MovesOnlyWhenTold) {
  ManualClock clock;
  const Clock& seen = clock;
  const WallTime wall = seen.wall();
  const BootTime boot = seen.boot();
  EXPECT_EQ(seen.boot(), boot);
  clock.advance(seconds(90));
  EXPECT_EQ(seen.wall() - wall, seconds(90));
  EXPECT_EQ(seen.boot() - boot, seconds(90));
}

TEST(ManualClock, BootTimeDoesNotFollowAJumpOfTheWallClock) {
  ManualClock clock;
  const BootTime boot = clock.boot();
  clock.set_wall(from_time_t(0));
  EXPECT_EQ(to_time_t(clock.wall()), 0);
  EXPECT_EQ(clock.boot(), boot);
}

TEST(WallTime, ConvertsToSecondsAndBack) {
  EXPECT_EQ(to_time_t(from_time_t(1'700'000'000)), 1'700'000'000);
  EXPECT_EQ(to_time_t(from_time_t(-5)), -5);
  EXPECT_EQ(to_time_t(WallTime(nanoseconds(-1))), -1) << "rounded down, before 1970 too";
  EXPECT_EQ(to_time_t(WallTime(nanoseconds(1'999'999'999))), 1);
}

TEST(WallTime, ASecondThatDoesNotFitBecomesTheLastThatDoes) {
  constexpr std::time_t year_9999 = 253'402'300'799;
  static_assert(from_time_t(year_9999) == WallTime::max());
  EXPECT_EQ(from_time_t(std::numeric_limits<std::time_t>::max()), WallTime::max());
  EXPECT_EQ(from_time_t(std::numeric_limits<std::time_t>::min()), WallTime::min());
  EXPECT_EQ(to_time_t(from_time_t(9'223'372'036)), 9'223'372'036) << "the last whole second";
  EXPECT_EQ(from_time_t(9'223'372'037), WallTime::max());
}

}  // namespace
}  // namespace cs
