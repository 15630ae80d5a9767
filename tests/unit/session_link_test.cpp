// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <array>

#include "keyms/session/link.h"
#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"

namespace cs::keyms {
namespace {

class SessionLink : public ::testing::Test {
 protected:
  static KeyPair keys(std::uint8_t seed) {
    const Bytes one(32, seed);
    const Bytes two(32, static_cast<std::uint8_t>(seed + 1));
    return {test::get(SecretBytes::copy_of(one)), test::get(SecretBytes::copy_of(two))};
  }
  // What the other end makes of it.
  static std::string at(Link& link, const Bytes& message) {
    const auto opened = link.open(test::get(open_envelope(message)));
    return opened.ok() ? std::string(to_string(type_of(*opened))) : opened.error().message();
  }
  void open_both(std::uint8_t seed) {
    initiator.open_epoch(keys(seed));
    responder.open_epoch(keys(seed));
  }

  test::ManualClock clock;
  Link initiator{clock, Role::initiator};
  Link responder{clock, Role::responder};
};

TEST_F(SessionLink, TheResponderSpeaksWhenTheInitiatorIsReady) {
  EXPECT_EQ(initiator.seal(Alive{}).error().kind(), ErrorKind::closed);
  open_both(1);
  EXPECT_FALSE(responder.is_open());
  EXPECT_EQ(at(responder, test::get(initiator.seal(Ready{}))), "ready");
  EXPECT_EQ(at(initiator, test::get(responder.seal(Alive{}))), "alive");
  EXPECT_EQ(at(responder, test::get(initiator.seal(Notice{NoticeKind::again, "x"}))), "notice");
  EXPECT_EQ(responder.heard(), clock.boot());
}

TEST_F(SessionLink, ARenewalLosesNoMessage) {
  open_both(1);
  EXPECT_EQ(at(responder, test::get(initiator.seal(Ready{}))), "ready");
  const Bytes before = test::get(responder.seal(Alive{}));
  open_both(3);
  EXPECT_EQ(initiator.epoch(), 2U);
  const Bytes still_old = test::get(responder.seal(Alive{}));
  const Bytes ready = test::get(initiator.seal(Ready{}));
  EXPECT_EQ(at(initiator, before), "alive");
  EXPECT_EQ(at(initiator, still_old), "alive");
  EXPECT_EQ(at(responder, ready), "ready");
  const Bytes fresh = test::get(responder.seal(Alive{}));
  EXPECT_EQ(at(initiator, fresh), "alive");
  EXPECT_NE(at(initiator, still_old), "alive") << "an epoch that is over";
}

TEST_F(SessionLink, RepeatedMissingReflectedAndForeignMessagesAreRefused) {
  open_both(1);
  EXPECT_NE(at(responder, test::get(initiator.seal(Alive{}))), "alive") << "before ready";
  Link again(clock, Role::initiator);
  again.open_epoch(keys(1));
  const Bytes ready = test::get(again.seal(Ready{}));
  EXPECT_EQ(at(responder, ready), "ready");
  EXPECT_NE(at(responder, ready), "ready");
  const Bytes first = test::get(again.seal(Alive{}));
  const Bytes second = test::get(again.seal(Alive{}));
  EXPECT_NE(at(responder, second), "alive") << "one is missing";
  EXPECT_EQ(at(responder, first), "alive");
  EXPECT_NE(at(responder, first), "alive");
  EXPECT_EQ(at(responder, second), "alive");
  EXPECT_NE(at(again, first), "alive") << "reflected";
  EXPECT_NE(at(responder, test::get(again.seal(Ready{}))), "ready") << "twice";
  Bytes changed = test::get(again.seal(Alive{}));
  changed.at(3) ^= 1U;
  EXPECT_NE(at(responder, changed), "alive");
  Link other(clock, Role::initiator);
  other.open_epoch(keys(9));
  EXPECT_NE(at(responder, test::get(other.seal(Ready{}))), "ready");
}

TEST_F(SessionLink, OnlyTheEpochBeforeCountsAndOnlyUntilTheNewOneIsHeard) {
  Link first(clock, Role::initiator);
  first.open_epoch(keys(1));
  open_both(1);
  EXPECT_EQ(at(responder, test::get(initiator.seal(Ready{}))), "ready");
  (void)test::get(first.seal(Ready{}));
  open_both(3);
  const Bytes old = test::get(first.seal(Alive{}));
  EXPECT_EQ(at(responder, old), "alive");
  const Bytes late = test::get(first.seal(Alive{}));
  EXPECT_EQ(at(responder, test::get(initiator.seal(Ready{}))), "ready");
  EXPECT_NE(at(responder, late), "alive") << "the former epoch, behind the new one";
  Link ahead(clock, Role::initiator);
  for (const std::uint8_t seed : std::array<std::uint8_t, 3>{1, 3, 5}) ahead.open_epoch(keys(seed));
  EXPECT_NE(at(responder, test::get(ahead.seal(Ready{}))), "ready") << "one that is not there yet";
}

TEST_F(SessionLink, ThereIsNoneBeforeTheFirstGrant) {
  Link early(clock, Role::initiator);
  early.open_epoch(keys(1));
  const Bytes ready = test::get(early.seal(Ready{}));
  EXPECT_NE(at(responder, ready), "ready");
  EXPECT_NE(at(initiator, ready), "ready");
  EXPECT_FALSE(responder.heard());
}

}  // namespace
}  // namespace cs::keyms
