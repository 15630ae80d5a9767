// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/sa_book.h"

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"
#include "tests/unit/signer_messages.h"

namespace cs::keyms {
namespace {

using namespace std::chrono_literals;

// Both gateways of a pair; what each says reaches the other at once.
class SaBooks : public ::testing::Test {
 protected:
  static LocalSa sa(std::uint32_t spi, std::uint8_t key, std::string algorithms = "aes 128/128") {
    LocalSa out;
    out.passage = {xfrm::GateWay::in, test::get(net::Address::parse("192.0.2.1")), 50, spi};
    out.algorithms = std::move(algorithms);
    out.value = test::counted<32>(static_cast<std::uint8_t>(key + session));
    return out;
  }
  void begin() {
    ++session;
    a.begin_session();
    b.begin_session();
  }
  static Sas sas_of(const SaBook::Changes& changes) { return {changes.tell}; }

  static inline std::uint8_t session = 0;
  test::ManualClock clock;
  SaBook a{clock};
  SaBook b{clock};
};

TEST_F(SaBooks, AdmittedWhenBothHaveSaidTheSame) {
  begin();
  const auto ours = a.set_local({sa(0x1000, 1)});
  ASSERT_EQ(ours.tell.size(), 1U);
  EXPECT_TRUE(ours.admit.empty());
  const auto before = b.on_peer(sas_of(ours));
  EXPECT_TRUE(before.admit.empty()) << "its own kernel has it not yet";
  const auto theirs = b.set_local({sa(0x1000, 1)});
  EXPECT_EQ(theirs.admit.size(), 1U);
  const auto after = a.on_peer(sas_of(theirs));
  ASSERT_EQ(after.admit.size(), 1U);
  EXPECT_EQ(after.admit[0].spi, 0x1000U);
  EXPECT_EQ(a.admitted(), 1U);
  EXPECT_TRUE(a.set_local({sa(0x1000, 1)}).tell.empty()) << "once is enough";
}

// The thief of an IKE credential: an SA that the real peer has not, or has with other keys.
TEST_F(SaBooks, AnSaWithSomebodyElseIsNotAdmitted) {
  begin();
  EXPECT_TRUE(a.set_local({sa(0x1000, 1)}).admit.empty());
  const auto other = a.on_peer(Sas{{{0x1000, 1, 50, "aes 128/128", test::counted<32>(0x99)}}});
  EXPECT_TRUE(other.admit.empty());
  ASSERT_EQ(other.disagreements.size(), 1U);
  EXPECT_NE(other.disagreements[0].find("somebody else negotiated it"), std::string::npos);
  EXPECT_TRUE(a.on_peer(Sas{{{0x1000, 1, 50, "aes 128/128", test::counted<32>(0x99)}}})
                  .disagreements.empty())
      << "told once";
  EXPECT_TRUE(a.on_peer(Sas{{{0x1000, 2, 50, "aes 128/128", sa(0x1000, 1).value}}}).admit.empty())
      << "the other direction";
  EXPECT_TRUE(a.on_peer(Sas{{{0x1000, 1, 51, "aes 128/128", sa(0x1000, 1).value}}}).admit.empty());
  EXPECT_TRUE(a.on_peer(Sas{{{0x1000, 1, 50, "aes 256/128", sa(0x1000, 1).value}}}).admit.empty());
  EXPECT_EQ(a.on_peer(Sas{{{0x1000, 1, 50, "aes 128/128", sa(0x1000, 1).value}}}).admit.size(), 1U);
}

// Nor one that the real peer says nothing of, as it never was its own.
TEST_F(SaBooks, AnSaThatThePeerDoesNotHaveIsTold) {
  begin();
  static_cast<void>(a.set_local({sa(0x1000, 1)}));
  static_cast<void>(a.tick());
  clock.advance(SaBook::said_within);
  ASSERT_LE(*a.deadline(), clock.boot());
  const auto told = a.tick();
  ASSERT_EQ(told.disagreements.size(), 1U);
  EXPECT_NE(told.disagreements[0].find("somebody else negotiated it"), std::string::npos);
  EXPECT_EQ(a.admitted(), 0U);
  EXPECT_TRUE(a.tick().disagreements.empty()) << "told once";
  EXPECT_EQ(a.on_peer(sas_of(b.set_local({sa(0x1000, 1)}))).admit.size(), 1U) << "it was only late";
}

// Of a rekey: the last packets of the SA that was are on the way.
TEST_F(SaBooks, WithdrawnAWhileAfterEitherHasItNoMore) {
  begin();
  const auto told = b.set_local({sa(0x1000, 1), sa(0x2000, 2)});
  static_cast<void>(a.set_local({sa(0x1000, 1), sa(0x2000, 2)}));
  EXPECT_EQ(a.on_peer(sas_of(told)).admit.size(), 2U);
  const auto gone = b.set_local({sa(0x2000, 2)});
  ASSERT_EQ(gone.tell_gone.size(), 1U);
  EXPECT_TRUE(a.on_peer(SasGone{gone.tell_gone}).withdraw.empty());
  clock.advance(1s);
  EXPECT_TRUE(a.set_local({}).withdraw.empty());
  EXPECT_EQ(a.admitted(), 2U);
  clock.advance(SaBook::on_the_way - 1s - 1ns);
  EXPECT_TRUE(a.tick().withdraw.empty());
  clock.advance(1ns);
  ASSERT_LE(*a.deadline(), clock.boot());
  const auto first = a.tick();
  ASSERT_EQ(first.withdraw.size(), 1U);
  EXPECT_EQ(first.withdraw[0].spi, 0x1000U);
  EXPECT_TRUE(first.disagreements.empty());
  clock.advance(1s);
  EXPECT_EQ(a.tick().withdraw.size(), 1U);
  EXPECT_EQ(a.admitted(), 0U);
}

TEST_F(SaBooks, WhatLeavesIsWithdrawnAtOnceWhenTheSessionEnds) {
  begin();
  static_cast<void>(a.set_local({sa(0x1000, 1)}));
  EXPECT_EQ(a.on_peer(sas_of(b.set_local({sa(0x1000, 1)}))).admit.size(), 1U);
  EXPECT_TRUE(a.set_local({}).withdraw.empty());
  EXPECT_EQ(a.end().withdraw.size(), 1U);
}

// Its SPI is not free for another one meanwhile.
TEST_F(SaBooks, WhatTakesThePlaceOfOneThatLeavesIsAgreedOnFirst) {
  begin();
  static_cast<void>(a.set_local({sa(0x1000, 1)}));
  EXPECT_EQ(a.on_peer(sas_of(b.set_local({sa(0x1000, 1)}))).admit.size(), 1U);
  const auto gone = b.set_local({});
  EXPECT_TRUE(a.on_peer(SasGone{gone.tell_gone}).withdraw.empty());
  const auto other = a.set_local({sa(0x1000, 7)});
  EXPECT_EQ(other.withdraw.size(), 1U);
  EXPECT_EQ(a.on_peer(sas_of(b.set_local({sa(0x1000, 7)}))).admit.size(), 1U);
  clock.advance(60s);
  EXPECT_TRUE(a.tick().withdraw.empty()) << "it leaves no more";
}

TEST_F(SaBooks, AnSaThatIsReplacedUnderItsSpiIsAgreedOnAnew) {
  begin();
  static_cast<void>(a.set_local({sa(0x1000, 1)}));
  EXPECT_EQ(a.on_peer(Sas{{{0x1000, 1, 50, "aes 128/128", sa(0x1000, 1).value}}}).admit.size(), 1U);
  const auto replaced = a.set_local({sa(0x1000, 7)});
  EXPECT_EQ(replaced.withdraw.size(), 1U);
  EXPECT_EQ(replaced.tell.size(), 1U);
  EXPECT_EQ(a.on_peer(Sas{{{0x1000, 1, 50, "aes 128/128", sa(0x1000, 7).value}}}).admit.size(), 1U);
}

TEST_F(SaBooks, ARenewalWithdrawsNothingThatIsAgreedOnAnew) {
  begin();
  const auto first = b.set_local({sa(0x1000, 1), sa(0x2000, 2)});
  static_cast<void>(a.set_local({sa(0x1000, 1), sa(0x2000, 2)}));
  EXPECT_EQ(a.on_peer(sas_of(first)).admit.size(), 2U);
  begin();
  EXPECT_EQ(a.admitted(), 2U);
  const auto told = a.set_local({sa(0x1000, 1), sa(0x2000, 2)});
  EXPECT_EQ(told.tell.size(), 2U);
  EXPECT_TRUE(told.withdraw.empty());
  const auto again = a.on_peer(Sas{{{0x1000, 1, 50, "aes 128/128", sa(0x1000, 1).value}}});
  EXPECT_TRUE(again.admit.empty());
  EXPECT_TRUE(again.withdraw.empty());
  clock.advance(SaBook::agreed_anew_within - std::chrono::milliseconds(1));
  EXPECT_TRUE(a.tick().withdraw.empty());
  clock.advance(std::chrono::milliseconds(1));
  const auto late = a.tick();
  ASSERT_EQ(late.withdraw.size(), 1U);
  EXPECT_EQ(late.withdraw[0].spi, 0x2000U);
  EXPECT_EQ(a.admitted(), 1U);
}

// The peer may be the first to have its values of a new session.
TEST_F(SaBooks, ValuesOfTwoSessionsAreNotCompared) {
  begin();
  static_cast<void>(a.set_local({sa(0x1000, 1)}));
  static_cast<void>(a.on_peer(sas_of(b.set_local({sa(0x1000, 1)}))));
  ASSERT_EQ(a.admitted(), 1U);
  begin();
  const auto early = a.on_peer(sas_of(b.set_local({sa(0x1000, 1)})));
  EXPECT_TRUE(early.disagreements.empty());
  EXPECT_TRUE(early.withdraw.empty());
  EXPECT_TRUE(a.set_local({sa(0x1000, 1)}).disagreements.empty());
  EXPECT_EQ(a.admitted(), 1U);
  clock.advance(60s);
  EXPECT_TRUE(a.tick().withdraw.empty());
}

TEST_F(SaBooks, TheEndWithdrawsAll) {
  begin();
  static_cast<void>(a.set_local({sa(0x1000, 1)}));
  EXPECT_EQ(a.on_peer(Sas{{{0x1000, 1, 50, "aes 128/128", sa(0x1000, 1).value}}}).admit.size(), 1U);
  EXPECT_EQ(a.end().withdraw.size(), 1U);
  const auto outside = a.set_local({sa(0x1000, 1), sa(0x3000, 3)});
  EXPECT_TRUE(outside.tell.empty());
  EXPECT_TRUE(outside.admit.empty());
  EXPECT_TRUE(a.on_peer(Sas{{{0x1000, 1, 50, "aes 128/128", sa(0x1000, 1).value}}}).admit.empty());
}

TEST_F(SaBooks, WhatAPeerTellsIsBounded) {
  begin();
  for (std::uint32_t i = 0; i < 3 * SaBook::most; i += 64) {
    Sas sas;
    for (std::uint32_t j = 0; j < 64; ++j) sas.sas.push_back({0x1000 + i + j, 1, 50, "x", {}});
    EXPECT_TRUE(a.on_peer(sas).admit.empty());
  }
  const auto late = 0x1000 + 3 * static_cast<std::uint32_t>(SaBook::most) - 1;
  static_cast<void>(a.set_local({sa(late, 1)}));
  EXPECT_EQ(a.on_peer(Sas{{{late, 1, 50, "aes 128/128", sa(late, 1).value}}}).admit.size(), 1U)
      << "what we have ourselves is always known";
}

}  // namespace
}  // namespace cs::keyms
