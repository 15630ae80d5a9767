// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/pair.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"
#include "tests/unit/signer_messages.h"

namespace cs::keyms {
namespace {

using namespace std::chrono_literals;

// What is not asked of a pair's host here is answered well.
class Gateway final : public PairHost {
 public:
  Gateway(const Clock& clock, Role role)
      : name(role == Role::initiator ? "berlin" : "hamburg"), pair(*this, clock, terms_of(role)) {}

  static PairTerms terms_of(Role role) {
    PairTerms terms;
    terms.role = role;
    terms.us = role == Role::initiator ? "berlin" : "hamburg";
    terms.peer = role == Role::initiator ? "hamburg" : "berlin";
    return terms;
  }

  Result<Endpoint> endpoint(const std::optional<Hash>& /*certificate*/) override {
    if (endpoint_fails) return *endpoint_fails;
    const EndpointStatement statement{name, test::counted<32>(1), 1, 2};
    return Endpoint{Bytes(90, 1), test::get(encode(statement)), Bytes(72, 1)};
  }
  bool wants_proof() override { return false; }
  std::vector<Reason> judge_hello(const SessionHello& /*hello*/) override { return {}; }
  void show(const ShowRequest& request) override { asked = request; }
  Result<Bytes> read_log(Log /*log*/, std::uint64_t /*offset*/, std::size_t length) override {
    return Bytes(length, 1);
  }
  Result<std::vector<Wanted>> wanted(const EvidenceMessage& /*evidence*/) override {
    return std::vector<Wanted>{{Log::events, 0, 10}};
  }
  Judgement judge(const PeerShown& /*shown*/) override {
    ++judged;
    return judgement;
  }
  Result<RunHost::Challenge> challenge(const EvidenceMessage& /*evidence*/,
                                       const SessionHello& /*hello*/) override {
    return Error(ErrorKind::internal, "no challenge here");
  }
  void activate(const CredentialFor& /*credential*/) override {}
  void connect() override { ++connects; }
  Result<bool> add_inbound(const Granted& granted) override {
    if (inbound_fails) return *inbound_fails;
    done.emplace_back("inbound");
    inbound = granted.theirs.key_id;
    return has_signer;
  }
  Result<void> add_outbound(const Granted& /*granted*/) override {
    done.emplace_back("outbound");
    return {};
  }
  void retire_keys(BootTime /*until*/) override { done.emplace_back("retire"); }
  void withdraw_keys() override { done.emplace_back("withdraw"); }
  void begin_sas(const Hash& session_id, Role /*role*/) override {
    done.emplace_back("sas");
    session = session_id;
  }
  void on_sas(const Sas& sas) override { heard_sas += sas.sas.size(); }
  void on_sas_gone(const SasGone& /*gone*/) override {}
  void stand(Standing standing) override { done.emplace_back(to_string(standing)); }
  void tell(const Told& told) override { tellings.push_back(told); }

  void answer() {
    if (!asked) return;
    const ShowRequest request = *std::exchange(asked, std::nullopt);
    EvidenceStatement statement;
    const Share point = test::get(EphemeralKey::create()).share();
    statement.public_key.assign(point.begin(), point.end());
    statement.key_id = request.key_id;
    statement.lifetime_ms = 600'000;
    EvidenceMessage evidence;
    evidence.statement = test::get(encode(statement));
    evidence.quote = {Bytes(1, 1), Bytes(1, 1)};
    evidence.sizes[2] = 10;
    pair.quoted(std::move(evidence));
  }
  // Since the last time.
  std::vector<std::string> take() { return std::exchange(done, {}); }
  std::string last_code() const {
    return tellings.empty() || tellings.back().reasons.empty()
               ? ""
               : tellings.back().reasons.front().code;
  }

  std::string name;
  std::vector<std::string> done;
  std::vector<Told> tellings;
  std::optional<ShowRequest> asked;
  std::optional<Error> endpoint_fails;
  std::optional<Error> inbound_fails;
  Judgement judgement;
  bool has_signer = false;
  std::uint32_t inbound = 0;
  std::size_t judged = 0;
  std::size_t connects = 0;
  std::size_t heard_sas = 0;
  Hash session{};
  Pair pair;
};

using Steps = std::vector<std::string>;

class Pairs : public ::testing::Test {
 protected:
  // One end of a channel between the two.
  struct End final : PairChannel {
    End(Pairs& test, Role role, int number) : pairs(&test), own(role), id(number) {}
    [[nodiscard]] Role role() const override { return own; }
    [[nodiscard]] Hash channel() const override { return test::counted<32>(0x50); }
    [[nodiscard]] std::optional<Hash> certificate() const override { return {}; }
    [[nodiscard]] std::optional<Hash> peer_certificate() const override { return {}; }
    void send(Bytes message) override { pairs->messages.push_back({own, id, std::move(message)}); }
    void grant() override { ++pairs->grants; }
    void deny(const Reason& why) override { close(why); }
    void close(const Reason& why) override { pairs->closed.push_back({own, id, why}); }
    Pairs* pairs;
    Role own;
    int id;
  };
  struct Message {
    Role from;
    int channel;
    Bytes bytes;
  };
  struct Closed {
    Role by;
    int channel;
    Reason why;
  };

  Gateway& of(Role role) { return role == Role::initiator ? berlin : hamburg; }

  void connect() {
    ++channel;
    hamburg.pair.channel_up(std::make_unique<End>(*this, Role::responder, channel));
    berlin.pair.channel_up(std::make_unique<End>(*this, Role::initiator, channel));
    settle();
  }
  // Until nothing moves any more.
  void settle() {
    for (int i = 0; i < 1000; ++i) {
      berlin.answer();
      hamburg.answer();
      if (!messages.empty()) {
        const Message message = std::move(messages.front());
        messages.pop_front();
        if (message.channel == channel && !mute)
          of(other(message.from)).pair.receive(message.bytes);
      } else if (!closed.empty()) {
        const Closed one = closed.front();
        closed.pop_front();
        if (one.channel == channel) of(other(one.by)).pair.channel_down(one.why);
      } else if (!berlin.asked && !hamburg.asked) {
        return;
      }
    }
    FAIL() << "it never settles";
  }
  void pass(std::chrono::milliseconds time) {
    clock.advance(time);
    for (int i = 0; i < 3; ++i) {
      berlin.pair.tick();
      hamburg.pair.tick();
      settle();
    }
  }
  // In steps as a loop would make them.
  void pass_slowly(std::chrono::seconds time) {
    for (std::chrono::seconds gone{0}; gone < time; gone += 1s) pass(1s);
  }
  void attest() {
    connect();
    ASSERT_EQ(berlin.pair.view().standing, Standing::granted);
    ASSERT_EQ(hamburg.pair.view().standing, Standing::granted);
    berlin.take();
    hamburg.take();
  }

  test::ManualClock clock;
  std::deque<Message> messages;
  std::deque<Closed> closed;
  int channel = 0;
  int grants = 0;
  bool mute = false;
  Gateway berlin{clock, Role::initiator};
  Gateway hamburg{clock, Role::responder};
};

TEST_F(Pairs, NothingPassesBeforeAndEverythingIsInOrderAfter) {
  EXPECT_EQ(berlin.pair.view().standing, Standing::closed);
  EXPECT_EQ(berlin.pair.view().reasons.front().code, "not_yet");
  pass(0ms);
  EXPECT_EQ(berlin.connects, 1U);
  EXPECT_EQ(hamburg.connects, 0U) << "the policy says who connects";
  connect();
  EXPECT_EQ(berlin.take(), (Steps{"retire", "inbound", "granted", "outbound", "sas"}));
  EXPECT_EQ(hamburg.take(), (Steps{"retire", "inbound", "granted", "outbound", "sas"}));
  EXPECT_EQ(berlin.session, hamburg.session);
  EXPECT_EQ(grants, 2);
}

// The peer's key is verified with before the peer hears that it may use it.
TEST_F(Pairs, NobodySignsBeforeTheOtherVerifies) {
  berlin.has_signer = hamburg.has_signer = true;
  connect();
  EXPECT_EQ(hamburg.take(), (Steps{"retire", "inbound"}));
  EXPECT_TRUE(berlin.take().empty()) << "final waits";
  hamburg.pair.applied(hamburg.inbound + 1);
  settle();
  EXPECT_TRUE(berlin.take().empty()) << "another key";
  hamburg.pair.applied(hamburg.inbound);
  settle();
  EXPECT_EQ(hamburg.take(), Steps{"granted"});
  EXPECT_EQ(berlin.take(), (Steps{"retire", "inbound"}));
  berlin.pair.applied(berlin.inbound);
  settle();
  EXPECT_EQ(berlin.take(), (Steps{"granted", "outbound", "sas"}));
  EXPECT_EQ(hamburg.take(), (Steps{"outbound", "sas"}));
}

TEST_F(Pairs, ADataPlaneThatDoesNotAnswerHoldsUpForSecondsOnly) {
  berlin.has_signer = hamburg.has_signer = true;
  connect();
  pass_slowly(11s);
  EXPECT_EQ(berlin.pair.view().standing, Standing::granted);
  EXPECT_EQ(hamburg.pair.view().standing, Standing::granted);
}

TEST_F(Pairs, SignsOfLifeKeepItAndRenewalComesInTime) {
  attest();
  pass_slowly(224s);
  EXPECT_EQ(berlin.pair.view().granted, 1U);
  EXPECT_TRUE(berlin.take().empty());
  pass_slowly(3s);
  EXPECT_EQ(berlin.pair.view().granted, 2U);
  EXPECT_EQ(hamburg.pair.view().granted, 2U);
  EXPECT_EQ(berlin.take(), (Steps{"retire", "inbound", "outbound", "sas"})) << "it stands already";
  EXPECT_EQ(hamburg.pair.view().standing, Standing::granted);
  pass_slowly(2000s);
  EXPECT_EQ(berlin.pair.view().standing, Standing::granted);
  EXPECT_EQ(berlin.pair.view().failed, 0U);
}

// Before it is ready the initiator has said nothing under the new keys, however long that takes.
TEST_F(Pairs, SignsOfLifeDuringARenewalAreInOrder) {
  attest();
  berlin.has_signer = true;
  ASSERT_TRUE(berlin.pair.attest().ok());
  for (int i = 0; i < 40; ++i) {
    pass(100ms);
    ASSERT_TRUE(berlin.pair.say(Alive{}).ok());
    settle();
  }
  EXPECT_EQ(berlin.pair.view().granted, 2U);
  EXPECT_EQ(hamburg.pair.view().failed, 0U);
  EXPECT_TRUE(hamburg.pair.view().channel);
}

// A loop wakes it when it asks for that, and at no other time.
TEST_F(Pairs, WhoHasNoSaToTellOfGivesSignsOfLifeAllTheSame) {
  attest();
  for (const Role role : {Role::initiator, Role::responder}) {
    const auto due = of(role).pair.deadline();
    ASSERT_TRUE(due);
    EXPECT_LE(*due, clock.boot() + 5s);
  }
}

TEST_F(Pairs, SasOfAFormerSessionAreToldAnewAndNotTaken) {
  attest();
  const Sas sas{{{0x1000, 1, 50, "aes 128/128", test::counted<32>(3)}}};
  ASSERT_TRUE(hamburg.pair.say(sas).ok());
  const Message held = std::move(messages.front());
  messages.pop_front();
  ASSERT_TRUE(berlin.pair.attest().ok());
  pass(0ms);
  ASSERT_EQ(berlin.pair.view().granted, 2U);
  berlin.pair.receive(held.bytes);
  EXPECT_EQ(berlin.heard_sas, 0U);
  EXPECT_TRUE(berlin.pair.view().channel) << "it is no offence";
  ASSERT_TRUE(hamburg.pair.say(sas).ok());
  settle();
  EXPECT_EQ(berlin.heard_sas, 1U);
}

TEST_F(Pairs, SilenceCutsBothWithinItsTime) {
  attest();
  mute = true;
  pass_slowly(14s);
  EXPECT_EQ(berlin.pair.view().standing, Standing::granted);
  pass_slowly(8s);
  for (Gateway* one : {&berlin, &hamburg}) {
    EXPECT_EQ(one->pair.view().standing, Standing::closed);
    EXPECT_EQ(one->pair.view().reasons.front().code, "silent");
    EXPECT_EQ(one->take(), (Steps{"closed", "withdraw"}));
  }
}

TEST_F(Pairs, ABrokenChannelIsNotADenial) {
  attest();
  berlin.pair.channel_down({"carrier", "connection reset"});
  hamburg.pair.channel_down({"carrier", "connection reset"});
  pass_slowly(2s);
  EXPECT_EQ(berlin.connects, 1U);
  EXPECT_EQ(berlin.pair.view().standing, Standing::granted);
  connect();
  EXPECT_EQ(berlin.pair.view().granted, 2U);
  EXPECT_EQ(hamburg.pair.view().granted, 2U);
  pass_slowly(60s);
  EXPECT_EQ(hamburg.pair.view().standing, Standing::granted);
}

TEST_F(Pairs, BadEvidenceCutsBothAndSaysWhy) {
  attest();
  hamburg.judgement.of_identity = {{"quote_signature", "not by the attestation key"}};
  pass_slowly(230s);
  EXPECT_EQ(hamburg.pair.view().standing, Standing::closed);
  EXPECT_EQ(berlin.pair.view().standing, Standing::closed);
  EXPECT_EQ(berlin.pair.view().reasons.front().code, "quote_signature");
  EXPECT_TRUE(berlin.pair.view().by_peer);
  EXPECT_FALSE(hamburg.pair.view().by_peer);
  hamburg.judgement = {};
  pass_slowly(40s);
  EXPECT_GT(berlin.connects, 0U);
  connect();
  EXPECT_EQ(berlin.pair.view().standing, Standing::granted);
}

TEST_F(Pairs, OwnDriftCutsAtOnceAndHealingBringsItBack) {
  for (const Role role : {Role::initiator, Role::responder}) {
    if (!berlin.pair.view().channel) connect();
    berlin.take();
    hamburg.take();
    Gateway& drifted = of(role);
    drifted.pair.set_own_faults({{"drift", "a policy in clear"}});
    settle();
    EXPECT_EQ(drifted.take(), (Steps{"closed", "withdraw"}));
    EXPECT_EQ(berlin.pair.view().standing, Standing::closed);
    EXPECT_EQ(hamburg.pair.view().standing, Standing::closed);
    EXPECT_EQ(of(other(role)).pair.view().reasons.front().code, "drift");
    pass_slowly(60s);
    connect();
    EXPECT_EQ(drifted.pair.view().standing, Standing::closed) << "not while it lasts";
    EXPECT_EQ(drifted.pair.attest().error().kind(), ErrorKind::denied);
    drifted.pair.set_own_faults({});
    const std::size_t before = berlin.connects;
    pass_slowly(40s);
    EXPECT_GT(berlin.connects, before);
    connect();
    EXPECT_EQ(drifted.pair.view().standing, Standing::granted);
  }
}

TEST_F(Pairs, TheLadderBearsWithStateForAWhileAndNeverWithIdentity) {
  PairTerms terms = Gateway::terms_of(Role::responder);
  terms.on_failure = OnFailure::report;
  terms.grace = 100s;
  std::destroy_at(&hamburg.pair);
  std::construct_at(&hamburg.pair, hamburg, clock, terms);
  hamburg.judgement.of_state = {{"ima_file", "/usr/bin/x is not known"}};
  connect();
  EXPECT_EQ(hamburg.pair.view().standing, Standing::reported);
  EXPECT_EQ(hamburg.pair.view().reasons.front().code, "ima_file");
  EXPECT_EQ(berlin.pair.view().standing, Standing::granted);
  pass_slowly(99s);
  EXPECT_EQ(hamburg.pair.view().standing, Standing::reported);
  pass_slowly(2s);
  EXPECT_EQ(hamburg.pair.view().standing, Standing::restricted);
  pass_slowly(100s);
  EXPECT_EQ(hamburg.pair.view().standing, Standing::closed);
  EXPECT_EQ(berlin.pair.view().standing, Standing::closed);
  hamburg.judgement.of_state.clear();
  pass_slowly(40s);
  connect();
  EXPECT_EQ(hamburg.pair.view().standing, Standing::granted) << "good again";
  hamburg.judgement.of_identity = {{"ak_name", "another key"}};
  pass_slowly(230s);
  EXPECT_EQ(hamburg.pair.view().standing, Standing::closed) << "at once";
}

TEST_F(Pairs, AnOperatorAsksAtEitherEnd) {
  EXPECT_EQ(hamburg.pair.attest().error().kind(), ErrorKind::closed);
  attest();
  ASSERT_TRUE(hamburg.pair.attest().ok());
  settle();
  pass(0ms);
  EXPECT_EQ(berlin.pair.view().granted, 2U);
  ASSERT_TRUE(berlin.pair.attest().ok());
  pass(0ms);
  EXPECT_EQ(berlin.pair.view().granted, 3U);
}

TEST_F(Pairs, WhatFailsHereIsToldAndTriedAgain) {
  berlin.endpoint_fails = Error(ErrorKind::busy, "the TPM is locked out");
  connect();
  EXPECT_EQ(berlin.pair.view().standing, Standing::closed);
  EXPECT_EQ(berlin.last_code(), "not_ready");
  berlin.endpoint_fails.reset();
  connect();
  EXPECT_EQ(berlin.pair.view().standing, Standing::granted);
  hamburg.inbound_fails = Error(ErrorKind::exists, "the key id is taken");
  pass_slowly(230s);
  EXPECT_EQ(hamburg.pair.view().standing, Standing::closed);
  EXPECT_EQ(hamburg.pair.view().reasons.front().code, "own_keys");
}

TEST_F(Pairs, GarbageEndsTheChannelAndNotWhatWasGranted) {
  attest();
  const Bytes garbage(40, 0xff);
  berlin.pair.receive(garbage);
  settle();
  EXPECT_FALSE(berlin.pair.view().channel);
  EXPECT_EQ(berlin.pair.view().standing, Standing::granted);
  EXPECT_EQ(berlin.last_code(), "protocol_violation");
  connect();
  EXPECT_EQ(berlin.pair.view().granted, 2U);
}

TEST_F(Pairs, TriesAreFurtherApartTheLongerTheyFail) {
  pass_slowly(120s);
  // After 0, 1, 3, 7, 15, 31 seconds, then each 30.
  EXPECT_GE(berlin.connects, 7U);
  EXPECT_LE(berlin.connects, 10U);
  EXPECT_EQ(berlin.last_code(), "unreachable") << "nobody has answered, and that is told";
}

TEST_F(Pairs, ChannelsThatComeAndGoAreForgottenInTheNextTurn) {
  hamburg.pair.channel_up(std::make_unique<End>(*this, Role::responder, 1));
  EXPECT_FALSE(hamburg.pair.deadline());
  hamburg.pair.channel_down({"peer_closed", "it has gone"});
  EXPECT_EQ(hamburg.pair.deadline(), clock.boot());
  hamburg.pair.tick();
  EXPECT_FALSE(hamburg.pair.deadline());
}

}  // namespace
}  // namespace cs::keyms
