// SPDX-License-Identifier: GPL-3.0-or-later
// A malicious peer against each end of a session: session_attacker.h says what it has. The property
// that must hold is Witness::why_unjustified().
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>

#include "tests/unit/session_duel.h"
#include "tests/unit/session_play.h"

namespace cs::keyms {
namespace {

using test::Duel;
using test::Play;

constexpr Role initiator = Role::initiator;
constexpr Role responder = Role::responder;
// Where a run serves its logs.
RunState serving(Role role) {
  return role == initiator ? RunState::showing : RunState::r_showing;
}
RunState appraising(Role role) {
  return role == initiator ? RunState::appraising : RunState::r_appraising;
}

test::Choose random_choices(std::uint64_t seed) {
  return [random = std::mt19937_64(seed)](std::uint32_t below) mutable {
    return static_cast<std::uint32_t>(random() % below);
  };
}

long sequences() {
  const char* const more = std::getenv("CS_SESSION_SEQUENCES");
  return more != nullptr ? std::strtol(more, nullptr, 10) : 3000;
}

TEST(SessionHostile, NoSequenceEndsGrantedWithoutTheTpmThatThePolicyNames) {
  std::array<long, 4> granted{};
  long undisturbed = 0;
  for (long i = 0; i < sequences(); ++i) {
    Play play(random_choices(static_cast<std::uint64_t>(i)));
    play.play(3);
    ASSERT_EQ(play.broken(), "") << "sequence " << i << ":" << play.told();
    const bool may = play.tpm() == Play::Tpm::good || play.tpm() == Play::Tpm::not_proved;
    ASSERT_TRUE(may || play.grants() == 0) << i << ":" << play.told();
    granted.at(static_cast<std::size_t>(play.tpm())) += play.grants() > 0 ? 1 : 0;
    if (play.deviated()) continue;
    ++undisturbed;
    // Else all this would show nothing.
    ASSERT_EQ(play.grants(), play.is_good_enough() ? 1U : 0U) << i << ":" << play.told();
  }
  EXPECT_GT(undisturbed, 0);
  EXPECT_GT(granted[2], sequences() / 30);
  if (std::getenv("CS_SESSION_SEQUENCES") != nullptr) {
    std::printf("%ld of %ld sequences granted, %ld undisturbed\n", granted[2], sequences(),
                undisturbed);
  }
}

TEST(SessionHostile, WhatIsAskedForAgainAndAgainEndsTheRun) {
  constexpr std::uint64_t told = 20'000 + 1 + most_part + 300;
  for (const Role role : {initiator, responder}) {
    for (const std::uint32_t length : {1U, 300U, 20'000U}) {
      Duel duel(role);
      ASSERT_TRUE(duel.until(serving(role))) << duel.why();
      std::uint64_t gets = 0;
      while (duel.victim.failures.empty() && gets++ < 1'000'000)
        duel.say(Get{Log::boot, 20'000 - length, length});
      EXPECT_LE(gets, (2 * told + LogAllowance::slack) / most_part + 1) << length;
      EXPECT_LE(duel.attacker.heard_part_bytes, 2 * told + LogAllowance::slack);
      EXPECT_NE(duel.why().find("again and again"), std::string::npos) << duel.why();
    }
  }
}

// Each get is in time, and they are few: the whole is too long.
TEST(SessionHostile, SlowGetsEndWithTheRun) {
  Duel duel(initiator);
  ASSERT_TRUE(duel.until(RunState::showing));
  for (int i = 0; i < 12 && duel.victim.failures.empty(); ++i) {
    duel.say(Get{Log::boot, 0, 1});
    duel.clock.advance(std::chrono::seconds(10));
    duel.victim.run.tick();
  }
  EXPECT_EQ(duel.code(), "timed_out");
}

TEST(SessionHostile, LogsAreGivenUpToTheirSizesOnly) {
  const std::vector<Get> beyond{{Log::boot, 20'000, 1},
                                {Log::boot, 0, 20'001},
                                {Log::boot, ~std::uint64_t{0}, 2},
                                {Log::ima, 0, 1},
                                {Log::endorsement, 299, 2}};
  for (const Role role : {initiator, responder}) {
    for (const Get& get : beyond) {
      Duel duel(role);
      ASSERT_TRUE(duel.until(serving(role)));
      duel.say(get);
      EXPECT_NE(duel.why().find("not that long"), std::string::npos) << duel.why();
      EXPECT_EQ(duel.attacker.heard_parts, 0U);
    }
  }
}

TEST(SessionHostile, PartsThatWereNotAskedForEndTheRun) {
  using Change = std::function<void(Duel&, Get&, std::size_t&)>;
  const std::vector<Change> changes{
      [](Duel&, Get& get, std::size_t&) { get.offset += 1; },
      [](Duel&, Get& get, std::size_t&) { get.log = Log::ima; },
      [](Duel&, Get&, std::size_t& size) { size = 1; },  // many for little
      [](Duel&, Get&, std::size_t& size) { size -= 1; },
      [](Duel& duel, Get& get, std::size_t&) {
        duel.deliver(duel.attacker.part_of(get, most_part));
      },
  };
  for (const Role role : {initiator, responder}) {
    for (const Change& change : changes) {
      Duel duel(role);
      ASSERT_TRUE(duel.until(appraising(role)));
      Get get = duel.attacker.gets.front();
      std::size_t size = most_part;
      change(duel, get, size);
      duel.deliver(duel.attacker.part_of(get, size));
      EXPECT_NE(duel.why().find("not asked for"), std::string::npos) << duel.why();
      EXPECT_EQ(duel.victim.judged, 0U);
    }
    // Behind the last one.
    Duel duel(role);
    const RunState behind = role == initiator ? RunState::concluding : RunState::r_showing;
    ASSERT_TRUE(duel.until(behind));
    duel.deliver(duel.attacker.part_of({Log::boot, 0, 1}, 1));
    EXPECT_EQ(duel.code(), "protocol_violation");
    EXPECT_TRUE(duel.victim.grants.empty());
  }
}

TEST(SessionHostile, NoResultCountsBeforeTheEvidence) {
  for (const RunState state : {RunState::greeted, RunState::r_appraising}) {
    Duel duel(responder);
    ASSERT_TRUE(duel.until(state));
    const SecretBytes none = test::get(SecretBytes::create(32));
    duel.deliver(test::get(seal_message(ResultMessage{}, {}, none)));
    EXPECT_EQ(duel.code(), "protocol_violation");
  }
  Duel duel(initiator);
  ASSERT_TRUE(duel.until(RunState::showing));
  duel.deliver(duel.attacker.show(duel.attacker.make_evidence()));
  ASSERT_EQ(duel.victim.run.state(), RunState::appraising);
  duel.deliver(duel.attacker.conclude());
  EXPECT_EQ(duel.code(), "protocol_violation");
  EXPECT_TRUE(duel.victim.grants.empty());
}

// A good quote is not enough where a proof was asked for: the credential says which TPM it is.
TEST(SessionHostile, WithoutTheProofThatWasAskedForNobodyIsGranted) {
  Duel with_result(responder);
  ASSERT_TRUE(with_result.until(RunState::r_showing));
  with_result.say(ResultMessage{});
  EXPECT_EQ(with_result.code(), "proof_wrong");
  Duel with_final(initiator);
  ASSERT_TRUE(with_final.until(RunState::concluding)) << with_final.why();
  with_final.say(FinalMessage{});
  EXPECT_EQ(with_final.code(), "proof_wrong");
  for (const Role role : {initiator, responder}) {
    Duel duel(role);
    ASSERT_TRUE(duel.until(role == initiator ? RunState::concluding : RunState::r_showing));
    if (role == initiator) duel.say(FinalMessage{Hash{}});
    if (role == responder) duel.say(ResultMessage{Hash{}, {}});
    EXPECT_EQ(duel.code(), "proof_wrong");
    EXPECT_TRUE(duel.victim.grants.empty());
  }
}

TEST(SessionHostile, AProofThatNobodyAskedForIsRefused) {
  Duel duel(responder, false);
  ASSERT_TRUE(duel.until(RunState::r_showing));
  duel.say(ResultMessage{Hash{}, {}});
  EXPECT_EQ(duel.code(), "protocol_violation");
  EXPECT_TRUE(duel.victim.grants.empty());
}

// The endorsement key of a good machine, and an attestation key beside it.
TEST(SessionHostile, AnotherTpmsEndorsementKeyProvesNothing) {
  for (const Role role : {initiator, responder}) {
    Duel duel(role);
    ASSERT_TRUE(duel.until(role == initiator ? RunState::showing : RunState::greeted));
    EvidenceMessage evidence = duel.attacker.make_evidence();
    evidence.endorsement_key = test::endorsement_key_of("bremen");
    duel.deliver(duel.attacker.show(evidence));
    duel.until(RunState::idle);
    EXPECT_EQ(duel.code(), "proof_wrong") << duel.why();
    EXPECT_TRUE(duel.victim.grants.empty());
  }
}

TEST(SessionHostile, WithoutAnEndorsementKeyNothingIsCalledProved) {
  for (const Role role : {initiator, responder}) {
    Duel duel(role);
    ASSERT_TRUE(duel.until(role == initiator ? RunState::showing : RunState::greeted));
    EvidenceMessage evidence = duel.attacker.make_evidence();
    evidence.endorsement_key.clear();
    duel.deliver(duel.attacker.show(evidence));
    duel.until(RunState::idle);
    while (auto message = duel.attacker.next()) duel.deliver(*message);
    ASSERT_EQ(duel.victim.grants.size(), 1U) << duel.why() << ": to judge that is the verifier's";
    EXPECT_FALSE(duel.victim.grants[0].proved);
  }
}

// The victim's TPM is no oracle for credentials that were made for others.
TEST(SessionHostile, ACredentialForAnotherKeyIsNotAnswered) {
  const CredentialFor foreign =
      test::credential_for(test::endorsement_key_of("bremen"), Bytes{1}, Bytes(32, 1));
  Duel with_evidence(initiator);
  ASSERT_TRUE(with_evidence.until(RunState::showing));
  EvidenceMessage evidence = with_evidence.attacker.make_evidence();
  evidence.credential = foreign;
  with_evidence.deliver(with_evidence.attacker.show(evidence));
  with_evidence.until(RunState::idle);
  EXPECT_EQ(with_evidence.code(), "own_proof");
  Duel with_result(responder, false);
  ASSERT_TRUE(with_result.until(RunState::r_showing));
  with_result.say(ResultMessage{{}, foreign});
  EXPECT_EQ(with_result.code(), "protocol_violation") << "it has shown no endorsement key";
  EXPECT_TRUE(with_evidence.victim.tpm.activated.empty());
  EXPECT_TRUE(with_result.victim.tpm.activated.empty());
}

TEST(SessionHostile, AnotherVersionIsNoSession) {
  for (const Role role : {initiator, responder}) {
    for (const std::uint8_t version : Bytes{0, 2, 23}) {
      Duel duel(role);
      Bytes hello = duel.attacker.say(duel.attacker.make_hello());
      ASSERT_EQ(hello.at(4), session_version);
      hello.at(4) = version;
      duel.deliver(hello);
      EXPECT_NE(duel.why().find("version"), std::string::npos) << duel.why();
      EXPECT_TRUE(duel.victim.tpm.quoted.empty());
    }
  }
}

// A middle that would have the weaker run of two honest ends.
TEST(SessionHostile, WhatTheHellosAskForIsNotTakenBack) {
  for (const MessageType of : {MessageType::initiator_hello, MessageType::responder_hello}) {
    test::SessionPair pair;
    pair.attest([&](Role, Bytes& message) {
      if (test::get(open_envelope(message)).type != of) return;
      SessionHello hello = test::get(decode_hello(message));
      hello.wants_proof = false;
      message = test::get(encode(hello));
    });
    EXPECT_TRUE(pair.initiator.grants.empty() && pair.responder.grants.empty());
  }
}

TEST(SessionHostile, ASecondDenialIsNotHeard) {
  for (const Role role : {initiator, responder}) {
    Duel duel(role);
    ASSERT_TRUE(duel.until(appraising(role)));
    for (int i = 0; i < 1000; ++i) duel.say(Denied{{{"no", "no"}}});
    EXPECT_EQ(duel.code(), "no");
    EXPECT_EQ(duel.victim.failures.front().by, Failed::By::peer);
    EXPECT_EQ(duel.victim.run.state(), RunState::idle);
    EXPECT_TRUE(duel.victim.grants.empty());
  }
}

}  // namespace
}  // namespace cs::keyms
