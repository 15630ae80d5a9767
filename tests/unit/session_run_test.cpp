// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <sstream>

#include "base/constant_time.h"
#include "keyms/session/run.h"
#include "tests/unit/session_pair.h"

namespace cs::keyms {
namespace {

using test::SessionPair;
using test::StandInHost;

std::string first_code(const StandInHost& host) {
  return host.failures.empty() ? "" : host.failures.front().reasons.front().code;
}

void expect_nobody_granted(const SessionPair& pair) {
  EXPECT_TRUE(pair.initiator.grants.empty());
  EXPECT_TRUE(pair.responder.grants.empty());
}

TEST(SessionRun, TwoGatewaysAttestAndHaveTheSameKeys) {
  for (const bool wants_proof : {true, false}) {
    SessionPair pair(wants_proof);
    pair.attest();
    ASSERT_EQ(pair.initiator.grants.size(), 1U) << first_code(pair.initiator);
    ASSERT_EQ(pair.responder.grants.size(), 1U) << first_code(pair.responder);
    const Granted& i = pair.initiator.grants.front();
    const Granted& r = pair.responder.grants.front();
    EXPECT_EQ(i.keys.session_id, r.keys.session_id);
    for (std::size_t side = 0; side < 2; ++side) {
      for (const auto member : {&LateKeys::confirm, &LateKeys::gate, &LateKeys::link}) {
        EXPECT_TRUE(constant_time_equal((i.keys.*member).at(side).bytes(),
                                        (r.keys.*member).at(side).bytes()));
      }
      EXPECT_EQ(i.keys.gate.at(side).size(), 16U);
    }
    EXPECT_FALSE(constant_time_equal(i.keys.gate[0].bytes(), i.keys.gate[1].bytes()));
    EXPECT_EQ(i.proved, wants_proof);
    EXPECT_EQ(r.proved, wants_proof);
    // Each signs with a key of the id that the other has chosen.
    EXPECT_EQ(i.ours.key_id, r.theirs.key_id);
    EXPECT_EQ(i.theirs, r.ours);
    EXPECT_NE(i.ours.key_id, i.theirs.key_id);
    EXPECT_EQ(pair.initiator.run.state(), RunState::idle);
    EXPECT_FALSE(pair.initiator.run.deadline());
  }
}

TEST(SessionRun, TheResponderShowsNothingBeforeTheInitiatorWasJudged) {
  SessionPair pair;
  pair.responder.logs[1] = Bytes(1, 7);
  pair.initiator.spoil = [](EvidenceMessage& evidence, const ShowRequest&) {
    evidence.quote.signature.at(0) ^= 1U;
  };
  pair.attest();
  expect_nobody_granted(pair);
  EXPECT_EQ(first_code(pair.responder), "quote_signature");
  EXPECT_EQ(first_code(pair.initiator), "quote_signature") << "the peer is told why";
  EXPECT_EQ(pair.initiator.failures.front().by, Failed::By::peer);
  EXPECT_EQ(pair.initiator.judged, 0U);
  EXPECT_FALSE(pair.responder.asked_to_show);
}

TEST(SessionRun, EachRunHasKeysOfItsOwn) {
  SessionPair pair;
  pair.attest();
  pair.attest();
  ASSERT_EQ(pair.initiator.grants.size(), 2U);
  ASSERT_EQ(pair.responder.grants.size(), 2U);
  EXPECT_NE(pair.initiator.grants[0].keys.session_id, pair.initiator.grants[1].keys.session_id);
}

std::string read_document() {
  std::ostringstream text;
  text << std::ifstream(CS_PROTOCOL_DOCUMENT).rdbuf();
  return text.str();
}

// What the document's table says is what the code's says.
TEST(SessionRun, TheDocumentHasTheTable) {
  const std::string document = read_document();
  for (const RunRow& row : run_table) {
    const std::string line = "| " + std::string(to_string(row.in)) + " | " +
                             std::string(to_string(row.on)) + " | " +
                             std::string(to_string(row.then)) + " |";
    EXPECT_NE(document.find("\n" + line), std::string::npos) << line;
  }
  const std::size_t begin = document.find("\n| state | on | then |");
  const std::size_t end = document.find("\n\n", begin + 1);
  ASSERT_NE(begin, std::string::npos);
  const std::string table = document.substr(begin + 1, end - begin);
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(table, '\n')), run_table.size() + 2);
}

// One message or answer at a time, until `host` is in `state`.
bool step(SessionPair& pair, RunState state, const StandInHost& host) {
  for (int steps = 0; steps < 1000; ++steps) {
    if (host.run.state() == state) return true;
    bool moved = false;
    for (const Role role : {Role::initiator, Role::responder}) {
      StandInHost& from = pair.of(role);
      if (from.sent.empty()) continue;
      const Bytes message = from.sent.front();
      from.sent.pop_front();
      test::receive(pair.of(other(role)), message);
      moved = true;
      break;
    }
    if (moved) continue;
    if (host.run.state() == state) return true;
    for (const Role role : {Role::initiator, Role::responder}) {
      StandInHost& one = pair.of(role);
      if (!one.asked_to_show && !one.asked_to_activate) continue;
      one.answer();
      moved = true;
      break;
    }
    if (!moved) return false;
  }
  return false;
}

bool is_responders(RunState state) {
  return state >= RunState::greeted;
}

std::unique_ptr<SessionPair> brought_to(RunState state) {
  auto pair = std::make_unique<SessionPair>();
  pair->initiator.logs[0] = Bytes(20'000, 6);
  pair->responder.logs[0] = Bytes(20'000, 7);
  if (state != RunState::idle) pair->initiator.run.begin();
  const StandInHost& host = is_responders(state) ? pair->responder : pair->initiator;
  EXPECT_TRUE(state == RunState::idle || step(*pair, state, host)) << to_string(state);
  return pair;
}

// A message of each type, whose form is right; of its HMAC nothing is known here.
Bytes message_of(RunEvent event) {
  SecretBytes key = test::get(SecretBytes::create(32));
  const auto sealed = [&](const Sealed& message) {
    return test::get(seal_message(message, {}, key));
  };
  SessionHello hello;
  hello.from = "hamburg";
  hello.to = "berlin";
  hello.share.fill(4);
  hello.ak_public = hello.statement = hello.signature = Bytes(9, 1);
  EvidenceMessage evidence;
  evidence.statement = evidence.quote.attest = evidence.quote.signature = Bytes(9, 1);
  const Bytes one(1, 1);
  switch (event) {
    case RunEvent::refuse:
      return test::get(encode_refuse({{"code", "text"}}));
    case RunEvent::initiator_hello:
      return test::get(encode(hello));
    case RunEvent::responder_hello:
      hello.role = Role::responder;
      return test::get(encode(hello));
    case RunEvent::evidence:
      return sealed(evidence);
    case RunEvent::get:
      return sealed(Get{Log::boot, 0, 1});
    case RunEvent::part:
      return sealed(Part{Log::boot, 0, one});
    case RunEvent::result:
      return sealed(ResultMessage{});
    case RunEvent::final:
      return sealed(FinalMessage{});
    default:
      return sealed(Denied{{{"code", "text"}}});
  }
}

// Every state and every message: what the table has not ends the run, and grants nothing; what it
// has is refused too, as none of these is authentic, but for what needs no key.
TEST(SessionRun, EveryStateRefusesWhatTheTableHasNot) {
  for (std::size_t s = 0; s < run_state_count; ++s) {
    for (std::size_t e = 0; e <= static_cast<std::size_t>(RunEvent::denied); ++e) {
      const auto state = static_cast<RunState>(s);
      const auto event = static_cast<RunEvent>(e);
      const auto pair = brought_to(state);
      StandInHost& host = is_responders(state) ? pair->responder : pair->initiator;
      ASSERT_EQ(host.run.state(), state);
      const std::size_t judged = host.judged;
      test::receive(host, message_of(event));
      const std::string where =
          std::string(to_string(event)) + " in the state " + std::string(to_string(state));
      ASSERT_EQ(host.failures.size(), 1U) << where;
      const Reason& reason = host.failures.front().reasons.front();
      if (find_row(state, event) == nullptr) {
        EXPECT_EQ(reason.code, "protocol_violation") << where;
        EXPECT_NE(reason.text.find("in the state " + std::string(to_string(state))),
                  std::string::npos)
            << reason.text;
      } else if (event == RunEvent::refuse) {
        EXPECT_EQ(reason.code, "code") << where;
        EXPECT_EQ(host.failures.front().by, Failed::By::peer);
      }
      EXPECT_EQ(host.run.state(), RunState::idle) << where;
      EXPECT_EQ(host.judged, judged) << where;
      expect_nobody_granted(*pair);
    }
  }
}

// Who is not asked leaves an answer of the TPM aside.
TEST(SessionRun, AnswersNobodyWaitsForChangeNothing) {
  for (std::size_t s = 0; s < run_state_count; ++s) {
    const auto state = static_cast<RunState>(s);
    const auto pair = brought_to(state);
    StandInHost& host = is_responders(state) ? pair->responder : pair->initiator;
    if (find_row(state, RunEvent::quoted) == nullptr) host.run.quoted(EvidenceMessage{});
    if (find_row(state, RunEvent::activated) == nullptr)
      host.run.activated(SecretBytes::create(32));
    if (find_row(state, RunEvent::begin) == nullptr) host.run.begin();
    EXPECT_EQ(host.run.state(), state) << to_string(state);
    EXPECT_TRUE(host.failures.empty());
  }
}

TEST(SessionRun, SilenceEndsEachState) {
  for (std::size_t s = 1; s < run_state_count; ++s) {
    const auto state = static_cast<RunState>(s);
    const auto pair = brought_to(state);
    StandInHost& host = is_responders(state) ? pair->responder : pair->initiator;
    const auto within = state == RunState::greeting ? Run::hello_within : Run::step_within;
    ASSERT_TRUE(host.run.deadline()) << to_string(state);
    EXPECT_EQ(*host.run.deadline() - pair->clock.boot(), within) << to_string(state);
    pair->clock.advance(within - std::chrono::milliseconds(1));
    host.run.tick();
    EXPECT_TRUE(host.failures.empty());
    pair->clock.advance(std::chrono::milliseconds(1));
    host.run.tick();
    EXPECT_EQ(first_code(host), "timed_out") << to_string(state);
  }
}

TEST(SessionRun, ARunAsAWholeHasALimitToo) {
  SessionPair slow;
  slow.initiator.run.begin();
  // Each part is in time, all of them are not.
  slow.deliver([&](Role, Bytes&) {
    slow.clock.advance(std::chrono::seconds(2));
    slow.initiator.run.tick();
    slow.responder.run.tick();
  });
  expect_nobody_granted(slow);
  EXPECT_EQ(first_code(slow.initiator), "timed_out");
  EXPECT_EQ(first_code(slow.responder), "timed_out") << "told by the other";
}

TEST(SessionRun, HellosThatDoNotFitAreRefusedInWords) {
  const auto refused = [](const std::function<void(SessionPair&)>& spoil) {
    SessionPair pair;
    spoil(pair);
    pair.attest();
    expect_nobody_granted(pair);
    return first_code(pair.responder) + "," + first_code(pair.initiator);
  };
  EXPECT_EQ(refused([](SessionPair& p) { p.initiator.run.terms().core_properties[0] ^= 1U; }),
            "other_policy,other_policy");
  EXPECT_EQ(refused([](SessionPair& p) { p.responder.run.terms().peer = "bremen"; }),
            "wrong_peer,wrong_peer");
  EXPECT_EQ(refused([](SessionPair& p) { p.responder.run.terms().us = "bremen"; }),
            "wrong_peer,wrong_peer");
  EXPECT_EQ(refused([](SessionPair& p) { p.responder.run.terms().peer_certificate = Hash{}; }),
            "other_endpoint,other_endpoint");
  EXPECT_EQ(refused([](SessionPair& p) { p.initiator.run.terms().endpoint_signature[0] ^= 1U; }),
            "endpoint_signature,endpoint_signature");
  EXPECT_EQ(refused([](SessionPair& p) {
              p.responder.refuses = {{"expired", "it has ended"}};
            }),
            "expired,expired");
}

// The same gateways, the same TPMs, but each believes in another channel: what a relay makes.
TEST(SessionRun, AnotherChannelIsAnotherQuote) {
  SessionPair pair;
  pair.initiator.run.terms().channel[5] ^= 1U;
  pair.attest();
  expect_nobody_granted(pair);
  EXPECT_EQ(first_code(pair.responder), "qualifying_data");
}

TEST(SessionRun, AQuoteOfAnotherRunIsRefused) {
  SignedAttestation old;
  SessionPair first;
  first.initiator.spoil = [&](EvidenceMessage& evidence, const ShowRequest&) {
    old = evidence.quote;
  };
  first.attest();
  ASSERT_EQ(first.initiator.grants.size(), 1U);
  SessionPair second;
  second.initiator.spoil = [&](EvidenceMessage& evidence, const ShowRequest&) {
    evidence.quote = old;
  };
  second.attest();
  expect_nobody_granted(second);
  EXPECT_EQ(first_code(second.responder), "qualifying_data");
}

TEST(SessionRun, AKeySwappedAfterTheQuoteIsRefused) {
  for (const Role role : {Role::initiator, Role::responder}) {
    SessionPair pair;
    pair.of(role).spoil = [](EvidenceMessage& evidence, const ShowRequest&) {
      auto statement = test::get(decode_statement(evidence.statement));
      const Share another = test::get(EphemeralKey::create()).share();
      statement.public_key.assign(another.begin(), another.end());
      evidence.statement = test::get(encode(statement));
    };
    pair.attest();
    EXPECT_TRUE(pair.of(other(role)).grants.empty());
    EXPECT_EQ(first_code(pair.of(other(role))), "qualifying_data");
    expect_nobody_granted(pair);
  }
}

// A peer that is honest otherwise may not take another peer's place in nfq-signer's table, nor make
// nfq-signer refuse a message.
TEST(SessionRun, ANewKeyThatNfqSignerCouldNotTakeIsRefused) {
  using Change = std::function<void(EvidenceStatement&)>;
  const std::vector<Change> changes{[](EvidenceStatement& s) { s.key_id ^= 1U; },
                                    [](EvidenceStatement& s) { s.public_key.back() ^= 1U; }};
  for (const Role role : {Role::initiator, Role::responder}) {
    for (const Change& change : changes) {
      SessionPair pair;
      pair.of(role).spoil = [&](EvidenceMessage& evidence, const ShowRequest& request) {
        auto statement = test::get(decode_statement(evidence.statement));
        change(statement);
        evidence.statement = test::get(encode(statement));
        evidence.quote =
            pair.of(role).tpm.quote(qualifying_data(request.context, evidence.statement));
      };
      pair.attest();
      EXPECT_EQ(first_code(pair.of(other(role))), "protocol_violation");
      expect_nobody_granted(pair);
    }
  }
}

// The quote of the one role is not taken for that of the other, be the rest as it may.
TEST(SessionRun, AQuoteInTheOtherRoleIsRefused) {
  for (const Role role : {Role::initiator, Role::responder}) {
    SessionPair pair;
    pair.of(role).spoil = [&](EvidenceMessage& evidence, const ShowRequest& request) {
      QuoteContext context = request.context;
      context.role = other(role);
      evidence.quote = pair.of(role).tpm.quote(qualifying_data(context, evidence.statement));
    };
    pair.attest();
    EXPECT_EQ(first_code(pair.of(other(role))), "qualifying_data");
    expect_nobody_granted(pair);
  }
}

TEST(SessionRun, WhoCannotProveItsTpmIsDenied) {
  for (const Role role : {Role::initiator, Role::responder}) {
    SessionPair pair;
    StandInHost& bad = pair.of(role);
    bad.other_tpm = true;
    pair.attest();
    EXPECT_TRUE(pair.of(other(role)).grants.empty());
    EXPECT_EQ(first_code(pair.of(other(role))), "proof_wrong");
    EXPECT_TRUE(bad.grants.empty() || role == Role::responder);
  }
}

TEST(SessionRun, TheOwnTpmsFailureIsTold) {
  SessionPair pair;
  pair.initiator.tpm_fails = Error(ErrorKind::busy, "the TPM is locked out");
  pair.attest();
  expect_nobody_granted(pair);
  EXPECT_EQ(first_code(pair.initiator), "own_evidence");
  EXPECT_EQ(first_code(pair.responder), "own_evidence");
  EXPECT_NE(pair.responder.failures[0].reasons[0].text.find("locked out"), std::string::npos);
}

TEST(SessionRun, ALogThatCannotBeReadIsNotThePeersFault) {
  SessionPair pair;
  pair.initiator.log_fails = Error(ErrorKind::io, "the disk is gone");
  pair.attest();
  expect_nobody_granted(pair);
  EXPECT_EQ(first_code(pair.initiator), "own_evidence");
  EXPECT_EQ(first_code(pair.responder), "own_evidence");
}

TEST(SessionRun, LogsAreServedWithinWhatWasToldOnly) {
  const std::vector<Wanted> greedy{{Log::boot, 700'000, 1},
                                   {Log::boot, 699'999, 2},
                                   {Log::ima, 0, 1},
                                   {Log::boot, ~std::uint64_t{0}, 1}};
  for (const Wanted& wanted : greedy) {
    SessionPair pair;
    pair.responder.wants = {wanted};
    pair.attest();
    expect_nobody_granted(pair);
    EXPECT_EQ(first_code(pair.initiator), "protocol_violation");
  }
}

TEST(SessionRun, WhatIsTooLongIsNotPulled) {
  SessionPair pair;
  pair.initiator.spoil = [](EvidenceMessage& evidence, const ShowRequest&) {
    evidence.sizes[3] = 1'000'001;
  };
  pair.attest();
  expect_nobody_granted(pair);
  EXPECT_EQ(first_code(pair.responder), "evidence_too_long");
}

// A middle that changes one bit of one message, leaves one out, repeats one or swaps two.
TEST(SessionRun, AMiddleGainsNothing) {
  std::mt19937_64 random(20261122);
  const char* const more = std::getenv("CS_SESSION_SEQUENCES");
  const long sequences = more != nullptr ? std::strtol(more, nullptr, 10) : 2000;
  for (long sequence = 0; sequence < sequences; ++sequence) {
    SessionPair pair(random() % 2 == 0);
    pair.initiator.logs[0] = Bytes(random() % 40'000, 6);
    pair.responder.logs[0] = Bytes(random() % 40'000, 7);
    const std::size_t at = random() % 24;
    const unsigned how = random() % 4;
    std::size_t number = 0;
    std::optional<MessageType> hit;
    std::optional<Bytes> held;
    pair.attest([&](Role, Bytes& message) {
      const std::size_t current = number++;
      if (held) {  // swapped: the later one goes first, this end sees it in place of the former
        std::swap(*held, message);
        held.reset();
      }
      if (current != at) return;
      hit = test::get(open_envelope(message)).type;
      if (how == 0)
        message.at(random() % message.size()) ^= static_cast<std::uint8_t>(1U << random() % 8);
      if (how == 1) message.clear();
      if (how == 2) message.insert(message.end(), message.begin(), message.end());
      if (how == 3) held = std::exchange(message, Bytes());
    });
    // What was touched is never followed by a grant of who got it; the responder grants before
    // final.
    EXPECT_EQ(pair.initiator.grants.size(), hit ? 0U : 1U) << sequence;
    const bool after = !hit || *hit == MessageType::final;
    EXPECT_EQ(pair.responder.grants.size(), after ? 1U : 0U) << sequence;
  }
}

}  // namespace
}  // namespace cs::keyms
