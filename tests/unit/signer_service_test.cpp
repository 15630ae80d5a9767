// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/signer_service.h"

#include <algorithm>

namespace cs::keyms {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::DataPlane;
using test::get;
using test::Words;

class SignerServiceTest : public test::SignerServiceTest {
 protected:
  SignerServiceTest() { start(); }
};

// The state, and what changes.

TEST_F(SignerServiceTest, TellsPeersThenKeysThenTheEnd) {
  fill();
  set(2);
  get(service->add(inbound(5, 2)));
  DataPlane plane = connect();
  EXPECT_EQ(plane.heard(), (Words{"welcome", "peer 1", "peer 2", "inbound 5", "inbound 7",
                                  "outbound 5 lanes 10-11", "end"}));
  EXPECT_EQ(plane.private_key, 0x90);
  EXPECT_EQ(told, Words{"connected"});
  EXPECT_EQ(after_turn(plane), Words()) << "once";
}

TEST_F(SignerServiceTest, TellsWhatChanges) {
  DataPlane plane = connect();
  EXPECT_EQ(plane.heard(), (Words{"welcome", "end"}));
  fill();
  EXPECT_EQ(after_turn(plane), (Words{"peer 1", "inbound 7", "outbound 5 lanes 10-11"}));
  service->remove(5, Table::outbound);
  service->remove(5, Table::outbound);
  service->remove(99, Table::inbound);
  EXPECT_EQ(after_turn(plane), Words{"remove outbound 5"});
  set(1);
  get(service->add(outbound(5)));
  service->remove(7, Table::inbound);
  EXPECT_EQ(after_turn(plane), (Words{"remove inbound 7", "peer 1", "outbound 5 lanes 10-11"}));
}

TEST_F(SignerServiceTest, WhatIsToldTwiceBeforeItsTurnGoesOutOnce) {
  DataPlane plane = connect();
  plane.heard();
  fill();
  set(1);
  service->limit(1, clock.boot() + seconds(9));
  service->remove(5, Table::outbound);
  get(service->add(outbound(5)));
  EXPECT_EQ(after_turn(plane),
            (Words{"remove outbound 5", "peer 1", "inbound 7", "outbound 5 lanes 10-11"}));
}

TEST_F(SignerServiceTest, APeerThatGoesTakesItsKeysAlong) {
  fill();
  set(2);
  get(service->add(inbound(8, 2)));
  DataPlane plane = connect();
  plane.heard();
  service->remove_peer(1);
  EXPECT_FALSE(service->has_key(5, Table::outbound) || service->has_key(7, Table::inbound));
  EXPECT_TRUE(service->has_key(8, Table::inbound));
  EXPECT_EQ(after_turn(plane), (Words{"remove peer 1", "remove outbound 5", "remove inbound 7"}));
  service->remove_peer(1);
  EXPECT_EQ(after_turn(plane), Words());
}

// Nothing but wait() wakes it.
TEST_F(SignerServiceTest, AChangeMakesItsLoopGoRound) {
  DataPlane plane = connect();
  plane.heard();
  Loop loop(clock);
  loop.add(*service);
  at_once = false;
  fill();
  get(loop.turn());
  EXPECT_EQ(plane.heard(), (Words{"peer 1", "inbound 7"}));
  answer(0);
  EXPECT_EQ(plane.heard(), Words{"outbound 5 lanes 10-11"});
  get(service->add(outbound(6)));
  get(service->add(outbound(9)));
  get(loop.turn());
  answer(1);
  get(loop.turn());
  EXPECT_EQ(fetches.size(), 3U) << "the next is fetched when one has come";
}

TEST_F(SignerServiceTest, RefusesWhatCannotBeTold) {
  EXPECT_EQ(service->set({1, Mode::off, std::vector<Address>(17)}).error().kind(),
            ErrorKind::invalid);
  EXPECT_EQ(service->add(inbound(7)).error().kind(), ErrorKind::not_found) << "no such peer";
  fill();
  EXPECT_EQ(service->add(outbound(5)).error().kind(), ErrorKind::exists);
  EXPECT_EQ(service->add(inbound(7)).error().kind(), ErrorKind::exists);
  auto bad = inbound(8);
  bad.public_key.pop_back();
  EXPECT_EQ(service->add(std::move(bad)).error().kind(), ErrorKind::invalid);
  auto backwards = outbound(8);
  backwards.lanes = {5, 4};
  EXPECT_EQ(service->add(std::move(backwards)).error().kind(), ErrorKind::invalid);
  auto ended = outbound(8);
  ended.limit.until = clock.boot();
  EXPECT_EQ(service->add(std::move(ended)).error().kind(), ErrorKind::timed_out);
  auto unsigned_here = outbound(8);
  unsigned_here.public_key = test::public_key(unsigned_here.scope.suite);
  unsigned_here.open = [](const StatementSigner::Opening&) { return Result<void>(); };
  EXPECT_EQ(service->add(std::move(unsigned_here)).error().kind(), ErrorKind::invalid);
  EXPECT_FALSE(service->has_key(8, Table::inbound) || service->has_key(8, Table::outbound));
}

// Private keys that come late.

class LateKeys : public SignerServiceTest {
 protected:
  LateKeys() { at_once = false; }
};

TEST_F(LateKeys, TheStateEndsWhenAllHaveCome) {
  fill();
  get(service->add(outbound(6)));
  DataPlane plane = connect();
  EXPECT_EQ(plane.heard(), (Words{"welcome", "peer 1", "inbound 7"}));
  EXPECT_EQ(fetches.size(), 1U) << "one at a time";
  answer(0);
  EXPECT_EQ(after_turn(plane), Words{"outbound 5 lanes 10-11"});
  answer(1, 0x91);
  EXPECT_EQ(plane.heard(), Words{"outbound 6 lanes 10-11"});
  EXPECT_EQ(plane.private_key, 0x91);
  EXPECT_EQ(after_turn(plane), Words{"end"});
}

TEST_F(LateKeys, HoldUpNothingElseAndNoRemovalAtAll) {
  fill();
  DataPlane plane = connect();
  plane.heard();
  set(2);
  get(service->add(inbound(8, 2)));
  service->remove(7, Table::inbound);
  EXPECT_EQ(after_turn(plane), (Words{"remove inbound 7", "peer 2", "inbound 8"}));
}

TEST_F(LateKeys, OneThatDoesNotComeIsLost) {
  fill();
  get(service->add(outbound(6)));
  DataPlane plane = connect();
  plane.heard();
  fetches.at(0).second(Error(ErrorKind::denied, "sealed"));
  EXPECT_EQ(told, (Words{"connected", "lost outbound 5: sealed"}));
  EXPECT_FALSE(service->has_key(5, Table::outbound));
  // nfq-signer may have it from an earlier connection.
  EXPECT_EQ(after_turn(plane), Words{"remove outbound 5"});
  fetches.at(1).second(test::secret<31>(1));
  EXPECT_NE(told.back().find("lost outbound 6: "), std::string::npos) << told.back();
  EXPECT_EQ(after_turn(plane), (Words{"remove outbound 6", "end"}));
}

TEST_F(LateKeys, AnAnswerToWhatIsNoLongerAskedIsNotHeard) {
  fill();
  DataPlane plane = connect();
  plane.heard();
  service->remove(5, Table::outbound);
  get(service->add(outbound(5)));
  answer(0, 0x11);  // of the former key 5
  EXPECT_EQ(after_turn(plane), Words{"remove outbound 5"});
  answer(1, 0x22);
  answer(1, 0x33);  // a second time
  EXPECT_EQ(after_turn(plane), (Words{"outbound 5 lanes 10-11", "end"}));
  EXPECT_EQ(plane.private_key, 0x22);
}

TEST_F(LateKeys, AnAnswerForAConnectionThatHasGoneIsNotHeard) {
  fill();
  DataPlane older = connect(1);
  DataPlane newer = connect(2);
  EXPECT_EQ(fetches.size(), 2U);
  answer(0, 0x11);
  EXPECT_EQ(newer.heard(), (Words{"welcome", "peer 1", "inbound 7"}));
  answer(1, 0x22);
  EXPECT_EQ(after_turn(newer), (Words{"outbound 5 lanes 10-11", "end"}));
  EXPECT_EQ(newer.private_key, 0x22);
  service.reset();
  answer(1);
}

// Keys that end.

TEST_F(SignerServiceTest, TellsHowLongAKeyHasLeft) {
  fill();
  clock.advance(std::chrono::minutes(10));
  DataPlane plane = connect();
  plane.heard();
  const KeyEnd end{1'800'000'000, 50 * 60 * 1000};
  EXPECT_EQ((plane.ends[{Table::outbound, 5}]), end);
  EXPECT_EQ((plane.ends[{Table::inbound, 7}]), end);
}

TEST_F(SignerServiceTest, ALimitShortensAndNeverLengthens) {
  fill();
  set(2);
  get(service->add(inbound(8, 2)));
  DataPlane plane = connect();
  plane.heard();
  service->limit(1, clock.boot() + seconds(30));
  EXPECT_EQ(after_turn(plane), (Words{"inbound 7", "outbound 5 lanes 10-11"}));
  EXPECT_EQ((plane.ends[{Table::outbound, 5}].lifetime_ms), 30000U);
  EXPECT_EQ((plane.ends[{Table::inbound, 7}].lifetime_ms), 30000U);
  service->limit(1, clock.boot() + seconds(40));
  EXPECT_EQ(after_turn(plane), Words());
  service->limit(1, clock.boot());
  EXPECT_EQ(after_turn(plane), (Words{"remove outbound 5", "remove inbound 7"}));
  EXPECT_TRUE(service->has_key(8, Table::inbound));
}

TEST_F(SignerServiceTest, WhatHasEndedByEitherClockIsRemovedAndNotSent) {
  set(1);
  const auto now = static_cast<std::uint64_t>(to_time_t(clock.wall()));
  auto by_wall = inbound(1);
  by_wall.limit.not_after = now + 20;
  auto by_boot = outbound(2);
  by_boot.limit.until = clock.boot() + seconds(10);
  get(service->add(std::move(by_wall)));
  get(service->add(std::move(by_boot)));
  get(service->add(inbound(3)));
  DataPlane plane = connect();
  plane.heard();
  clock.advance(seconds(10) - milliseconds(2));
  EXPECT_EQ(after_turn(plane), Words());
  clock.advance(milliseconds(2));
  EXPECT_EQ(after_turn(plane), Words{"remove outbound 2"});
  clock.set_wall(from_time_t(static_cast<std::time_t>(now + 20)));
  clock.advance(Service::look_around);
  EXPECT_EQ(after_turn(plane), Words{"remove inbound 1"});
  EXPECT_FALSE(service->has_key(1, Table::inbound) || service->has_key(2, Table::outbound));
  clock.advance(std::chrono::hours(1));
  EXPECT_EQ(after_turn(plane), Words{"remove inbound 3"});
}

TEST_F(SignerServiceTest, AnEndMakesItsLoopGoRound) {
  fill();
  DataPlane plane = connect();
  plane.heard();
  Loop loop(clock);
  loop.add(*service);
  clock.advance(std::chrono::hours(1));
  get(loop.turn());
  EXPECT_EQ(plane.heard(), (Words{"remove outbound 5", "remove inbound 7"}));
}

TEST_F(LateKeys, OneThatEndsWhileItIsFetchedIsNotSent) {
  fill();
  DataPlane plane = connect();
  plane.heard();
  clock.advance(std::chrono::hours(1));
  answer(0);
  EXPECT_EQ(after_turn(plane), (Words{"remove outbound 5", "remove inbound 7", "end"}));
  EXPECT_EQ(told, Words{"connected"}) << "it is not lost: it was over";
}

// Lanes.

TEST_F(SignerServiceTest, GivesALaneToOneInstanceOnly) {
  fill();
  const auto lanes = [this](std::uint8_t instance) {
    DataPlane plane = connect(instance);
    const Words heard = plane.heard();
    return heard.at(heard.size() - 2);
  };
  EXPECT_EQ(lanes(1), "outbound 5 lanes 10-11");
  EXPECT_EQ(lanes(2), "outbound 5 lanes 12-13");
  EXPECT_EQ(lanes(1), "outbound 5 lanes 10-11") << "the same instance, the same lanes";
  EXPECT_EQ(lanes(3), "outbound 5 lanes 14-15");
  told.clear();
  EXPECT_EQ(lanes(4), "remove outbound 5");
  ASSERT_EQ(told.size(), 3U);
  EXPECT_NE(told[2].find("lost outbound 5: key 5 has no lanes left"), std::string::npos) << told[2];
  get(service->add(outbound(5)));
  EXPECT_EQ(lanes(4), "outbound 5 lanes 10-11") << "of another key";
}

// The other end.

TEST_F(SignerServiceTest, TheNewestConnectionCounts) {
  DataPlane older = connect(1);
  DataPlane newer = connect(2);
  EXPECT_EQ(older.heard(), (Words{"welcome", "end", "closed"}));
  fill();
  EXPECT_EQ(after_turn(newer).size(), 5U);
  EXPECT_EQ(told, (Words{"connected", "gone", "connected"}));
}

TEST_F(SignerServiceTest, HearsWhatIsAppliedAndCounted) {
  fill();
  DataPlane plane = connect();
  plane.heard();
  plane.say(Status{1, 2, 3, 4, 5});
  plane.say(Applied{7});
  plane.say(Applied{99});
  turn();
  EXPECT_EQ(service->counters(), (Status{1, 2, 3, 4, 5}));
  EXPECT_EQ(told, (Words{"connected", "applied 7"}));
  DataPlane next = connect(2);
  EXPECT_EQ(service->counters(), Status()) << "the next one counts from 0";
}

TEST_F(SignerServiceTest, SignsNothingWithKeysThatItGaveAway) {
  fill();
  DataPlane plane = connect();
  plane.heard();
  plane.say(SignRequest{77, 5, {}});
  EXPECT_EQ(after_turn(plane), Words{"reply 77 unknown_key"});
}

TEST_F(SignerServiceTest, WhoSendsWithoutEndDoesNotHoldTheLoop) {
  DataPlane plane = connect();
  plane.heard();
  constexpr std::uint64_t sent = Service::most_taken + 5;
  for (std::uint64_t i = 1; i <= sent; ++i) plane.say(Status{i, 0, 0, 0, 0});
  turn();
  EXPECT_EQ(service->counters().packets_signed, Service::most_taken);
  turn();
  EXPECT_EQ(service->counters().packets_signed, sent);
}

TEST_F(SignerServiceTest, ALargeStateReachesASlowReaderWhole) {
  constexpr std::uint32_t count = 2000;
  set(1);
  for (std::uint32_t i = 1; i <= count; ++i) {
    get(service->add(outbound(i)));
    get(service->add(inbound(i)));
  }
  DataPlane plane = connect();
  Words heard = plane.heard();
  EXPECT_LT(heard.size(), count) << "a socket holds less";
  for (int i = 0; i < 1000 && heard.back() != "end"; ++i) {
    clock.advance(seconds(1));  // slow, but not dead
    const Words more = after_turn(plane);
    heard.insert(heard.end(), more.begin(), more.end());
  }
  EXPECT_EQ(heard.size(), 2 * count + 3);
  EXPECT_EQ(fetches.size(), count);
  std::ranges::sort(heard);
  EXPECT_TRUE(std::ranges::adjacent_find(heard) == heard.end()) << "each once";
}

TEST_F(SignerServiceTest, WhoDoesNotReadIsCutOff) {
  for (std::uint32_t i = 1; i <= 3000; ++i) set(i);
  DataPlane plane = connect();
  clock.advance(SignerConnection::reads_within);
  turn();
  EXPECT_EQ(told, (Words{"connected", "gone"}));
  EXPECT_FALSE(service->is_connected());
}

TEST_F(SignerServiceTest, WhoReadsTooSlowlyLearnsTheStateAnew) {
  DataPlane plane = connect();
  for (std::uint32_t i = 1; i <= Service::most_removals + 1; ++i) {
    set(i);
    service->remove_peer(i);
  }
  turn();
  EXPECT_EQ(told, (Words{"connected", "gone"}));
  DataPlane again = connect();
  EXPECT_EQ(again.heard(), (Words{"welcome", "end"}));
}

TEST_F(SignerServiceTest, TenThousandAreToldInOneGo) {
  fill();
  for (std::uint32_t i = 2; i <= 10000; ++i) set(i);
  DataPlane plane = connect();
  std::size_t heard = plane.heard().size();
  for (int i = 0; i < 200; ++i) heard += after_turn(plane).size();
  EXPECT_EQ(heard, 10000U + 4);
}

// Hooks that call back.

TEST_F(SignerServiceTest, HooksMayChangeWhatIsTold) {
  fill();
  get(service->add(outbound(6)));
  at_once = false;
  DataPlane plane = connect();
  plane.heard();
  then = [this] {
    then = nullptr;
    service->remove_peer(1);
    fill();
  };
  fetches.at(0).second(Error(ErrorKind::denied, "sealed"));
  EXPECT_EQ(after_turn(plane), (Words{"remove peer 1", "remove outbound 5", "remove outbound 6",
                                      "remove inbound 7", "peer 1", "inbound 7"}));
  then = [this] { service->remove(7, Table::inbound); };
  plane.say(Applied{7});
  EXPECT_EQ(after_turn(plane), Words{"remove inbound 7"});
  then = [this] { service->remove_peer(1); };
  DataPlane newer = connect(2);
  EXPECT_EQ(newer.heard(), (Words{"welcome", "end"}));
}

}  // namespace
}  // namespace cs::keyms
