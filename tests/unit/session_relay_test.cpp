// SPDX-License-Identifier: GPL-3.0-or-later
// Evidence that is true, but of another run: relayed by a middle, replayed, reflected, mixed up.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>

#include "keyms/session/run.h"
#include "tests/unit/session_duel.h"

namespace cs::keyms {
namespace {

using test::Attacker;
using test::Duel;
using test::StandInHost;
using test::StandInTpm;
using test::Witness;

constexpr Role initiator = Role::initiator;
constexpr Role responder = Role::responder;

// The middle's hello with all that is the other gateway's but the share: the middle has to know it.
SessionHello as_if_of(Attacker& attacker, const SessionHello& real) {
  SessionHello hello = attacker.make_hello();
  const Share share = hello.share;
  hello = real;
  hello.share = share;
  return hello;
}

// Two sessions of the middle, on a channel that a broken network worker shows both as one.
TEST(SessionRelay, TheInitiatorsEvidenceFitsNoOtherRun) {
  Duel with_berlin(initiator);
  Duel with_hamburg(responder);
  with_hamburg.deliver(with_hamburg.attacker.say(
      as_if_of(with_hamburg.attacker, *with_berlin.attacker.victims_hello)));
  ASSERT_TRUE(with_hamburg.attacker.knows_keys());
  with_berlin.deliver(with_berlin.attacker.say(
      as_if_of(with_berlin.attacker, *with_hamburg.attacker.victims_hello)));
  ASSERT_TRUE(with_berlin.attacker.victims_evidence) << with_berlin.why();
  // Its key id fits, its TPM is the right one, its state is good; it is for the middle's share.
  with_hamburg.deliver(with_hamburg.attacker.show(*with_berlin.attacker.victims_evidence));
  with_hamburg.until(RunState::idle);
  EXPECT_EQ(with_hamburg.code(), "qualifying_data");
  EXPECT_TRUE(with_hamburg.victim.grants.empty());
  EXPECT_TRUE(with_hamburg.victim.tpm.quoted.empty()) << "it has shown nothing in return";
}

// bremen is a good gateway of its own, with a TPM and an agreed policy with both.
TEST(SessionRelay, AThirdGatewaysGoodTpmHelpsNoMiddle) {
  for (const Role role : {initiator, responder}) {
    Duel victim(role);
    StandInHost real(Duel::name_of(other(role)), "bremen", victim.clock, other(role), true);
    StandInTpm bremen("bremen");
    Attacker middle(real, bremen);
    if (role == responder) real.run.begin();
    const auto pump = [&] {
      real.answer();
      while (!real.sent.empty()) {
        middle.hear(real.sent.front());
        real.sent.pop_front();
      }
    };
    pump();
    const auto say_to_real = [&](const std::optional<Bytes>& message) {
      test::receive(real, message.value());
      pump();
    };
    // So that the key ids fit in the end: who hears first names the id it has heard.
    SessionHello hello = middle.make_hello();
    if (role == initiator) hello.key_id = victim.attacker.victims_hello->key_id;
    if (role == responder) {
      ASSERT_TRUE(victim.until(RunState::greeted));
      hello.key_id = victim.attacker.victims_hello->key_id;
    }
    say_to_real(middle.say(hello));
    while (!middle.victims_evidence) say_to_real(middle.next());
    if (role == initiator) victim.until(RunState::showing);
    victim.deliver(victim.attacker.show(*middle.victims_evidence));
    victim.until(RunState::idle);
    EXPECT_EQ(victim.code(), "qualifying_data");
    EXPECT_TRUE(victim.victim.grants.empty());
  }
}

// bremen passes the shares on, and knows no key itself: neither end takes the other for bremen.
TEST(SessionRelay, AShareThatIsSomebodyElsesGainsNoKey) {
  test::ManualClock clock;
  StandInHost berlin("berlin", "bremen", clock, initiator, false);
  StandInHost hamburg("hamburg", "bremen", clock, responder, false);
  StandInTpm bremen("bremen");
  Attacker to_berlin(berlin, bremen);
  Attacker to_hamburg(hamburg, bremen);
  berlin.run.begin();
  to_berlin.hear(berlin.sent.front());
  SessionHello hello = to_hamburg.make_hello();
  hello.share = to_berlin.victims_hello->share;
  test::receive(hamburg, to_hamburg.say(hello));
  to_hamburg.hear(hamburg.sent.front());
  hello = to_berlin.make_hello();
  hello.share = to_hamburg.victims_hello->share;
  berlin.sent.clear();
  test::receive(berlin, to_berlin.say(hello));
  berlin.answer();
  ASSERT_FALSE(berlin.sent.empty()) << "evidence for bremen";
  ASSERT_TRUE(hamburg.failures.empty());
  test::receive(hamburg, berlin.sent.front());
  ASSERT_EQ(hamburg.failures.size(), 1U);
  EXPECT_NE(hamburg.failures[0].reasons[0].text.find("not authenticated"), std::string::npos);
  // With a good quote of its own and no key.
  test::receive(berlin, to_berlin.show(to_berlin.make_evidence()));
  EXPECT_EQ(berlin.failures.size(), 1U);
  EXPECT_TRUE(berlin.grants.empty() && hamburg.grants.empty());
}

TEST(SessionRelay, WhatTheVictimSaysItselfIsNotTakenForThePeers) {
  // Its hello as that of the other type, then under the other's names, then with another nonce.
  for (int how = 0; how < 3; ++how) {
    Duel duel(initiator);
    SessionHello hello = *duel.attacker.victims_hello;
    hello.role = responder;
    if (how > 0) {
      std::swap(hello.from, hello.to);
      hello.statement = test::endpoint_statement_of(hello.from);
      hello.signature = test::stand_in_signature(hello.from, hello.statement);
      hello.ak_public = test::attestation_key_of(hello.from);
    }
    if (how > 1) hello.nonce[0] ^= 1U;
    duel.deliver(test::get(encode(hello)));
    EXPECT_EQ(duel.code(),
              how == 0 ? "wrong_peer" : (how == 1 ? "reflected" : "protocol_violation"));
    EXPECT_EQ(duel.victim.tpm.quoted.size(), 0U);
  }
  // Its evidence, sealed with the key that only the attacker and it have.
  Duel duel(initiator);
  ASSERT_TRUE(duel.until(RunState::showing));
  EvidenceMessage own = *duel.attacker.victims_evidence;
  duel.deliver(duel.attacker.show(own));
  duel.until(RunState::idle);
  EXPECT_NE(duel.code(), "");
  EXPECT_TRUE(duel.victim.grants.empty());
}

TEST(SessionRelay, OldEvidenceIsRefusedInBothRoles) {
  for (const Role role : {initiator, responder}) {
    Duel before(role);
    before.until(RunState::idle);
    while (auto message = before.attacker.next()) before.deliver(*message);
    ASSERT_EQ(before.victim.grants.size(), 1U) << before.why();
    Duel now(role, "nobody");
    ASSERT_TRUE(now.until(role == initiator ? RunState::showing : RunState::greeted));
    EvidenceMessage evidence = now.attacker.make_evidence();
    evidence.quote.attest = before.tpm.quoted.front();
    evidence.quote.signature = test::stand_in_signature(before.tpm.name, evidence.quote.attest);
    now.deliver(now.attacker.show(evidence));
    now.until(RunState::idle);
    EXPECT_EQ(now.code(), "qualifying_data");
    EXPECT_TRUE(now.victim.grants.empty());
  }
}

// A network worker that says what it likes of the channel: the other end's TPM does not.
TEST(SessionRelay, TwoChannelsThatAreShownAsOneAreTwo) {
  for (const Role role : {initiator, responder}) {
    test::SessionPair pair;
    pair.of(role).run.terms().channel[31] ^= 0x80U;
    pair.of(role).run.terms().peer_certificate.reset();
    pair.attest();
    EXPECT_TRUE(pair.initiator.grants.empty());
    EXPECT_TRUE(pair.responder.grants.empty());
  }
}

// Honest ends only, and a network that gives each message to whom it likes: two sessions of berlin
// and hamburg beside one with bremen, on channels that all have one secret.
class Mixed {
 public:
  explicit Mixed(std::uint64_t seed) : random_(seed) {
    for (const char* const peer : {"hamburg", "hamburg", "bremen"}) {
      add("berlin", peer, initiator);
      add(peer, "berlin", responder);
    }
    for (const auto& end : ends_) {
      if (end->run.terms().role == initiator) end->run.begin();
    }
  }
  void play() {
    const std::size_t wrong_at = random_() % 40;
    for (std::size_t step = 0; step < 200; ++step) {
      for (std::size_t at = 0; at < ends_.size(); ++at) answer(at);
      const std::size_t from = random_() % ends_.size();
      if (ends_.at(from)->sent.empty()) continue;
      const Bytes message = std::move(ends_.at(from)->sent.front());
      ends_.at(from)->sent.pop_front();
      witnesses_.at(from)->out(message);
      const std::size_t right = from ^ 1U;
      if (step == wrong_at || random_() % 40 == 0) give(random_() % ends_.size(), message);
      if (step != wrong_at || random_() % 2 == 0) give(right, message);
    }
  }
  // Each grant is by a quote for it; and what has one session id is the two ends of one session.
  std::string broken() {
    for (const auto& [id, ends] : sessions_) {
      if (ends.size() > 2 || ends.front() != ends.back()) return "a session of " + ends.back();
    }
    return broken_;
  }
  [[nodiscard]] std::size_t grants() const noexcept { return grants_; }

 private:
  void add(const std::string& name, const std::string& peer, Role role) {
    ends_.push_back(std::make_unique<StandInHost>(name, peer, clock_, role, true));
    ends_.back()->logs[0].resize(100);
    witnesses_.push_back(std::make_unique<Witness>(*ends_.back()));
  }
  void give(std::size_t to, const Bytes& message) {
    if (!ends_.at(to)->failures.empty()) return;
    const std::size_t before = ends_.at(to)->grants.size();
    witnesses_.at(to)->in(message);
    test::receive(*ends_.at(to), message);
    if (ends_.at(to)->grants.size() > before) look_at_grant(to);
  }
  void answer(std::size_t at) {
    const std::size_t before = ends_.at(at)->grants.size();
    ends_.at(at)->answer();
    if (ends_.at(at)->grants.size() > before) look_at_grant(at);
  }
  void look_at_grant(std::size_t at) {
    const StandInHost& end = *ends_.at(at);
    StandInTpm named(ends_.at(at ^ 1U)->tpm.name);
    for (const auto& other : ends_) {
      if (other->tpm.name != named.name) continue;
      const StandInTpm& of = other->tpm;
      named.quoted.insert(named.quoted.end(), of.quoted.begin(), of.quoted.end());
      named.activated.insert(named.activated.end(), of.activated.begin(), of.activated.end());
    }
    const Granted& grant = end.grants.back();
    const std::string why = witnesses_.at(at)->why_unjustified(grant, named);
    if (!why.empty()) broken_ = why;
    const bool first = grant.role == initiator;
    sessions_[grant.keys.session_id].push_back(first ? end.tpm.name + ">" + named.name
                                                     : named.name + ">" + end.tpm.name);
    ++grants_;
  }

  std::mt19937_64 random_;
  test::ManualClock clock_;
  std::vector<std::unique_ptr<StandInHost>> ends_;
  std::vector<std::unique_ptr<Witness>> witnesses_;
  std::map<Hash, std::vector<std::string>> sessions_;
  std::string broken_;
  std::size_t grants_ = 0;
};

TEST(SessionRelay, SessionsThatAreMixedUpAreNeverOne) {
  std::size_t grants = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Mixed mixed(seed);
    mixed.play();
    ASSERT_EQ(mixed.broken(), "") << seed;
    grants += mixed.grants();
  }
  EXPECT_GT(grants, 100U) << "else this shows nothing";
}

}  // namespace
}  // namespace cs::keyms
