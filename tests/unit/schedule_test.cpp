// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <vector>

#include "keyms/schedule/clock_guard.h"
#include "keyms/schedule/life.h"
#include "keyms/schedule/renewal.h"
#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"

namespace {

using namespace std::chrono_literals;
using cs::BootTime;
using cs::WallTime;
using cs::keyms::ClockGuard;
using cs::keyms::Life;
using cs::keyms::Renewal;
using cs::keyms::step_text;
using cs::test::get;
using cs::test::ManualClock;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}
constexpr auto decade = 10 * 365 * 24h;

TEST(Life, EndsAtItsCertificatesEnd) {
  ManualClock clock;
  const Life life = get(Life::begin(clock, clock.wall(), clock.wall() + 10min));
  EXPECT_EQ(life.left(clock), 10min);
  clock.advance(10min - 1ns);
  EXPECT_FALSE(life.is_over(clock));
  EXPECT_EQ(life.left(clock), 1ns);
  clock.advance(1ns);
  EXPECT_TRUE(life.is_over(clock));
  EXPECT_EQ(life.left(clock), 0ns);
}

TEST(Life, IsNoLongerWhenTheClockIsSetBack) {
  for (const std::chrono::nanoseconds back : {1h + 0ns, 1 * decade + 0ns, 60 * decade / 10 + 0ns}) {
    ManualClock clock;
    const Life life = get(Life::begin(clock, clock.wall(), clock.wall() + 10min));
    clock.advance(4min);
    clock.set_wall(clock.wall() - back);
    EXPECT_EQ(life.left(clock), 6min);
    clock.advance(6min);
    EXPECT_TRUE(life.is_over(clock));
  }
}

TEST(Life, EndsAtOnceWhenTheClockIsSetForward) {
  for (const std::chrono::nanoseconds forward : {10min + 0ns, 1 * decade + 0ns}) {
    ManualClock clock;
    const Life life = get(Life::begin(clock, clock.wall(), clock.wall() + 10min));
    clock.set_wall(clock.wall() + forward);
    EXPECT_TRUE(life.is_over(clock));
  }
}

TEST(Life, IsRefusedOutsideOfItsDates) {
  ManualClock clock;
  const WallTime now = clock.wall();
  const auto refusal = [&clock](WallTime from, WallTime to) {
    const auto life = Life::begin(clock, from, to);
    return life.ok() ? "" : life.error().message();
  };
  EXPECT_EQ(refusal(now - 1h, now + 1ns), "");
  EXPECT_TRUE(contains(refusal(now - 1h, now), "it has expired at 2023-11-14T22:13:20Z"));
  EXPECT_EQ(refusal(now + Life::tolerance, now + 1h), "");
  EXPECT_TRUE(contains(refusal(now + Life::tolerance + 1ns, now + 1h), "compare the clocks"));
  EXPECT_NE(refusal(WallTime::max(), WallTime::max()), "");
  EXPECT_NE(refusal(WallTime::min(), WallTime::min()), "");
  // Of a certificate without an end.
  const Life endless = get(Life::begin(clock, WallTime::min(), WallTime::max()));
  clock.advance(1 * decade);
  EXPECT_FALSE(endless.is_over(clock));
  for (const WallTime wall : {WallTime::min(), WallTime(), WallTime::max()}) {
    clock.set_wall(wall);
    const auto life = Life::begin(clock, WallTime::min(), WallTime::max());
    EXPECT_EQ(life.ok(), wall != WallTime::max());
    EXPECT_TRUE(!life.ok() || life->left(clock) > 0ns);
    EXPECT_EQ(Life::begin(clock, WallTime::max(), WallTime::max()).ok(), false);
  }
}

TEST(Life, IsResumedWithTheDeadlineItHad) {
  ManualClock clock;
  const Life life = get(Life::begin(clock, clock.wall(), clock.wall() + 10min));
  clock.set_wall(clock.wall() - 1h);
  clock.advance(9min);
  const Life same = Life::resume(life.end());
  EXPECT_EQ(same.left(clock), 1min);
}

class ClockGuardTest : public ::testing::Test {
 protected:
  ClockGuardTest() { clock.set_wall(ClockGuard::released + 24h); }
  static std::string refusal(const ClockGuard& guard) {
    const auto checked = guard.check();
    return checked.ok() ? "" : checked.error().message();
  }
  ManualClock clock;
};

TEST_F(ClockGuardTest, TimeThatPassesIsNoJump) {
  ClockGuard guard(clock);
  for (const std::chrono::nanoseconds passed : {1ns, 1000000000ns, 3600000000000ns}) {
    clock.advance(passed);
    EXPECT_FALSE(guard.look());
  }
  clock.advance(3 * decade / 10);  // a suspend, however long
  EXPECT_FALSE(guard.look());
  clock.set_wall(clock.wall() + 400ms);  // a time server corrects
  EXPECT_FALSE(guard.look());
  clock.advance(10h);
  clock.set_wall(clock.wall() - 30s);  // and has let it run slower
  EXPECT_FALSE(guard.look());
}

TEST_F(ClockGuardTest, AJumpIsToldOnceWithItsSize) {
  ClockGuard guard(clock);
  clock.advance(5min);
  clock.set_wall(clock.wall() + 2h);
  EXPECT_EQ(guard.look(), 2h);
  EXPECT_FALSE(guard.look());
  clock.advance(1s);
  clock.set_wall(clock.wall() - 90min);
  EXPECT_EQ(guard.look(), -90min);
  clock.set_wall(WallTime::max());
  EXPECT_GT(guard.look().value(), 20 * decade);
  clock.set_wall(WallTime::min());
  EXPECT_LT(guard.look().value(), -20 * decade);
}

TEST_F(ClockGuardTest, AJumpIsToldInWords) {
  EXPECT_EQ(step_text(130min), "the clock jumped forward by 2 h 10 min");
  EXPECT_EQ(step_text(-50h - 1s), "the clock jumped back by 2 days 2 h");
  EXPECT_EQ(step_text(501ms), "the clock jumped forward by 501 ms");
  EXPECT_EQ(step_text(24h + 1ms), "the clock jumped forward by 1 days 1 ms");
  EXPECT_EQ(step_text(1us), "the clock jumped forward by less than 1 ms");
  EXPECT_TRUE(contains(step_text(std::chrono::nanoseconds::min()), "back by 106751 days"));
}

TEST_F(ClockGuardTest, AnImplausibleClockIsRefused) {
  const WallTime now = clock.wall();
  const ClockGuard guard(clock, now);
  EXPECT_EQ(refusal(guard), "");
  clock.set_wall(now - 4min);
  EXPECT_EQ(refusal(guard), "");
  clock.set_wall(now - 6min);
  EXPECT_TRUE(contains(refusal(guard), "and was 2026-01-02T00:00:00Z before")) << refusal(guard);
  EXPECT_TRUE(contains(refusal(guard), "timedatectl"));
  for (const WallTime wall : {now - decade, now + decade + 96h, WallTime::min(), WallTime::max()}) {
    clock.set_wall(wall);
    EXPECT_TRUE(contains(refusal(guard), "the clock is implausible")) << refusal(guard);
  }
  clock.set_wall(now + decade - 24h);
  EXPECT_EQ(refusal(guard), "");
  // Nothing was noted yet: it is not before the release.
  clock.set_wall(ClockGuard::released - 1h);
  EXPECT_NE(refusal(ClockGuard(clock)), "");
}

TEST_F(ClockGuardTest, WhatIsSeenIsNotWhatAJumpCameTo) {
  const WallTime begin = clock.wall();
  ClockGuard guard(clock, begin);
  clock.advance(59min);
  EXPECT_FALSE(guard.look());
  EXPECT_EQ(guard.seen(), begin);
  clock.advance(1min);
  EXPECT_FALSE(guard.look());
  EXPECT_EQ(guard.seen(), begin + 1h);
  // A false time for half an hour, and back.
  clock.set_wall(clock.wall() + 24h);
  EXPECT_TRUE(guard.look());
  clock.advance(30min);
  EXPECT_FALSE(guard.look());
  EXPECT_EQ(guard.seen(), begin + 1h);
  clock.set_wall(clock.wall() - 24h);
  EXPECT_TRUE(guard.look());
  EXPECT_EQ(refusal(guard), "");
  clock.advance(1h);
  EXPECT_FALSE(guard.look());
  EXPECT_EQ(guard.seen(), begin + 150min);
}

constexpr BootTime begin{5h};
constexpr auto most_random = std::numeric_limits<std::uint32_t>::max();

TEST(Renewal, IsAheadOfTheEndByOverlapAndAQuarter) {
  const BootTime end = begin + 600s;
  EXPECT_EQ(Renewal(begin, end, 30s, 0).next(), end - 180s);
  const auto earliest = Renewal(begin, end, 30s, most_random).next().value();
  EXPECT_GE(earliest, end - 255s);
  EXPECT_LT(earliest, end - 254s);
  // Never in the first quarter, however long the overlap.
  EXPECT_EQ(Renewal(begin, end, 600s, 0).next(), begin + 300s);
  EXPECT_GE(Renewal(begin, end, 600s, most_random).next(), begin + 225s);
  EXPECT_EQ(Renewal(begin, begin - 1s, 30s, 7).next(), begin - 1s);
  EXPECT_LT(Renewal(begin, BootTime::max(), 30s, most_random).next(), BootTime::max());
}

TEST(Renewal, IsTriedAgainUntilTheEndAndNeverAfter) {
  for (const std::uint32_t random : {0U, 12345678U, most_random}) {
    const BootTime end = begin + 600s;
    Renewal renewal(begin, end, 30s, random);
    std::vector<std::chrono::nanoseconds> waits;
    BootTime last;
    while (renewal.next()) {
      const BootTime now = *renewal.next();
      ASSERT_LT(now, end);
      if (!waits.empty() || last != BootTime()) waits.push_back(now - last);
      last = now;
      renewal.failed(now, random);
      ASSERT_LT(waits.size(), 100U);
    }
    EXPECT_GT(last, end - 5s);
    EXPECT_GE(waits.at(0), 1s);
    EXPECT_LE(waits.at(0), 1250ms);
    EXPECT_GE(waits.at(3), 8s);
    EXPECT_LE(*std::ranges::max_element(waits), 38s);
  }
  Renewal renewal(begin, begin + 600s, 30s, 0);
  renewal.failed(begin + 600s, 0);
  EXPECT_FALSE(renewal.next());
}

}  // namespace
