// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/session_play.h"

#include <algorithm>
#include <array>
#include <utility>

namespace cs::test {

using namespace keyms;  // NOLINT(google-build-using-namespace): a test of just that

namespace {

const char* name_of(Role role) {
  return role == Role::initiator ? "berlin" : "hamburg";
}

constexpr std::uint64_t huge = ~std::uint64_t{0};

}  // namespace

const std::vector<Bytes>& old_messages(Role of) {
  static const std::array<std::vector<Bytes>, 2> all = [] {
    std::array<std::vector<Bytes>, 2> said;
    SessionPair pair;
    pair.initiator.logs[0].resize(20'000);
    pair.responder.logs[0].resize(20'000);
    pair.attest([&](Role from, Bytes& message) { said.at(index(from)).push_back(message); });
    return said;
  }();
  return all.at(index(of));
}

Play::Play(Choose choose)
    : choose_(std::move(choose)),
      role_(choose_(2) == 0 ? Role::initiator : Role::responder),
      victim_(name_of(role_), name_of(other(role_)), clock_, role_, choose_(2) == 0),
      kind_(static_cast<Tpm>(choose_(4))),
      tpm_(kind_ == Tpm::another ? "mallory" : name_of(other(role_)), kind_ != Tpm::in_bad_state),
      attacker_(victim_, tpm_),
      witness_(victim_),
      link_(clock_, role_) {}

void Play::play(std::uint32_t most_deviations) {
  tpm_.opens = kind_ != Tpm::not_proved;
  const std::uint32_t deviations = choose_(most_deviations + 1);
  if (role_ == Role::initiator) victim_.run.begin();
  collect();
  for (std::uint32_t done = 0; done < deviations; ++done) {
    const std::uint32_t honest = choose_(12);
    for (std::uint32_t i = 0; i < honest; ++i) step();
    deviated_ = true;
    deviate();
  }
  constexpr int enough = 24;
  for (int i = 0; i < enough && broken_.empty(); ++i) step();
}

// What is honest, and what the victim's TPM has been asked for.
void Play::step() {
  if (auto message = attacker_.next()) deliver(std::move(*message));
  victim_.answer();
  collect();
}

// Even where the channel should be closed: the carrier may be the attacker's, too.
void Play::deliver(Bytes message) {
  told_ += " <" + std::to_string(message.size() > 1 ? message[1] : 0xff);
  witness_.in(message);
  const auto envelope = open_envelope(message);
  if (envelope.ok() && is_of_link(envelope->type)) {
    const bool taken = link_.open(*envelope).ok();
    if (taken && victim_.grants.empty()) broken_ = "a message of a link that was never granted";
    if (!taken) victim_.run.abandon({"protocol_violation", "of the link"});
  } else {
    receive(victim_, message);
  }
  delivered_.push_back(std::move(message));
  collect();
}

void Play::collect() {
  while (!victim_.sent.empty()) {
    const Bytes message = std::move(victim_.sent.front());
    victim_.sent.pop_front();
    told_ += " >" + std::to_string(message[1]);
    witness_.out(message);
    attacker_.hear(message);
    heard_.push_back(message);
  }
  for (; justified_ < victim_.grants.size(); ++justified_) {
    StandInTpm named(name_of(other(role_)));
    // The TPM that the policy names has done nothing, unless it is the one we have.
    if (kind_ != Tpm::another) named = tpm_;
    const std::string why = witness_.why_unjustified(victim_.grants.at(justified_), named);
    if (!why.empty()) broken_ = why;
    link_.open_epoch(std::move(victim_.grants.at(justified_).keys.link));
    told_ += " granted";
  }
}

void Play::deviate() {
  const std::uint32_t what = choose_(10);
  if (what == 0) {  // leaves one out
    (void)attacker_.next();
  } else if (what == 1) {  // time passes
    clock_.advance(std::chrono::seconds(choose_(30)));
    victim_.run.tick();
    collect();
  } else if (what == 2) {  // two in the wrong order
    auto first = attacker_.next();
    if (auto second = attacker_.next()) deliver(std::move(*second));
    if (first) deliver(std::move(*first));
  } else if (what == 3) {
    victim_.run.begin();
    collect();
  } else if (auto message = deviant_message()) {
    deliver(std::move(*message));
  }
}

std::optional<Bytes> Play::deviant_message() {
  switch (choose_(7)) {
    case 0:
      return other_hello();
    case 1:
    case 2:
      return other_evidence();
    case 3:
      return other_message();
    case 4:
      return misplaced();
    case 5:
      return old_one();
    default:
      if (auto message = attacker_.next()) return changed(std::move(*message));
      return {};
  }
}

Bytes Play::bytes(std::size_t size) {
  Bytes out(size);
  for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(choose_(256));
  return out;
}

Hash Play::hash() {
  Hash out{};
  out.fill(static_cast<std::uint8_t>(choose_(256)));
  return out;
}

std::optional<Bytes> Play::other_hello() {
  SessionHello hello = attacker_.make_hello();
  const auto changes = std::to_array<std::function<void()>>({
      [] {},  // again, or early
      [&] { hello.role = other(hello.role); },
      [&] { std::swap(hello.from, hello.to); },
      [&] { hello.from = "bremen"; },
      [&] { hello.to = "bremen"; },
      [&] {
        if (attacker_.victims_hello) hello.nonce = attacker_.victims_hello->nonce;
      },
      [&] { hello.core_properties = hash(); },
      [&] { hello.policy_version = 1 + choose_(9); },
      [&] {
        if (attacker_.victims_hello) hello.share = attacker_.victims_hello->share;
      },
      [&] { hello.share.at(1 + choose_(64)) ^= 1U; },
      [&] { hello.ak_public = attestation_key_of("mallory"); },
      [&] {
        hello.statement = endpoint_statement_of("mallory");
        hello.signature = stand_in_signature("mallory", hello.statement);
      },
      [&] { hello.signature = stand_in_signature("mallory", hello.statement); },
      [&] { hello.wants_proof = !hello.wants_proof; },
      [&] {
        hello.vouchers = {{choose_(9), bytes(3)}};
      },
      [&] { hello.key_id = 1 + choose_(0xffff); },
  });
  changes.at(choose_(changes.size()))();
  return attacker_.say(hello);
}

std::optional<Bytes> Play::other_evidence() {
  if (!attacker_.knows_keys()) return {};
  EvidenceMessage evidence = attacker_.make_evidence();
  EvidenceStatement statement = get(decode_statement(evidence.statement));
  bool restate = false;
  const auto changes = std::to_array<std::function<void()>>({
      [] {},  // early, or again
      [&] { statement.suite = static_cast<std::uint8_t>(3 - statement.suite), restate = true; },
      [&] { statement.key_id ^= 1U << choose_(32), restate = true; },
      [&] { statement.lifetime_ms = 1 + choose_(huge & 0xffffffff), restate = true; },
      [&] { statement.measurement = hash(), restate = true; },
      [&] { evidence.quote.attest.at(choose_(33)) ^= 1U; },
      [&] { evidence.quote.signature.at(choose_(32)) ^= 1U; },
      [&] { evidence.quote.attest.back() = 1; },
      [&] { evidence.quote = tpm_.quote(hash()); },
      [&] { evidence.sizes.at(choose_(5)) = choose_(2) == 0 ? huge : choose_(3'000'000); },
      [&] { evidence.endorsement_key.clear(); },
      [&] { evidence.endorsement_key = endorsement_key_of(name_of(other(role_))); },
      [&] { evidence.endorsement_key = endorsement_key_of("mallory"); },
      [&] { evidence.credential.reset(); },
      [&] {
        evidence.credential = CredentialFor{bytes(2), bytes(32)};
      },
      [&] { evidence.credential = credential_for(endorsement_key_of("bremen"), bytes(4), hash()); },
      [&] { evidence.statement = bytes(20); },
      [&] {
        evidence.vouchers = {{1, bytes(2)}};
      },
      [&] { evidence.values = {}; },
  });
  changes.at(choose_(changes.size()))();
  if (restate) evidence.statement = get(encode(statement));
  if (choose_(2) == 0) attacker_.quote(evidence);
  return attacker_.show(evidence);
}

Sealed Play::any_message() {
  static const Bytes some(most_part, 1);
  const auto log = static_cast<Log>(choose_(5));
  switch (choose_(12)) {
    case 0:
      return Get{log, choose_(30'000), 1 + choose_(most_get)};
    case 1:
      return Get{log, huge - choose_(9), 1 + choose_(most_get)};
    case 2:
      return Part{log, choose_(2) * most_part, ByteView(some).first(1 + choose_(most_part))};
    case 3:
      return ResultMessage{hash(), {}};
    case 4:
      return ResultMessage{{}, CredentialFor{bytes(2), bytes(2)}};
    case 5:
      return FinalMessage{};
    case 6:
      return FinalMessage{hash()};
    case 7:
      return Denied{{{"no", "no"}}};
    case 8:
      return Ready{};
    case 9:
      return Alive{};
    case 10:
      return Sas{{{256, 1, 50, "x", hash()}}};
    default:
      return Deny{{{"no", "no"}}};
  }
}

// Of any kind, in its turn or not, with the right key and number or another.
std::optional<Bytes> Play::other_message() {
  if (choose_(8) == 0) return get(encode_refuse({{"no", "no"}}));
  const Sealed message = any_message();
  if (choose_(2) == 0) return attacker_.sealed(message);
  const SecretBytes none = get(SecretBytes::create(32));
  constexpr std::array types{MessageType::get, MessageType::final, MessageType::ready};
  const SecretBytes* key =
      attacker_.key(types.at(choose_(3)), choose_(2) == 0 ? Role::initiator : Role::responder);
  if (key == nullptr) key = &none;
  return get(seal_message(message, {choose_(3), choose_(4)}, *key));
}

// What was said before, by it or by the victim itself.
std::optional<Bytes> Play::misplaced() {
  const std::vector<Bytes>& from = choose_(2) == 0 ? delivered_ : heard_;
  if (from.empty()) return {};
  Bytes message = from.at(choose_(static_cast<std::uint32_t>(from.size())));
  const bool is_hello = message.size() > 1 && (message[1] == 1 || message[1] == 2);
  if (choose_(2) == 0 && is_hello) message[1] ^= 3U;
  return message;
}

// Of a run that ended well: as it was, or its content in this run.
std::optional<Bytes> Play::old_one() {
  const auto& old = old_messages(choose_(2) == 0 ? role_ : other(role_));
  const Bytes& message = old.at(choose_(static_cast<std::uint32_t>(old.size())));
  const Envelope envelope = get(open_envelope(message));
  if (envelope.mac.empty() || choose_(2) == 0 || !attacker_.knows_keys()) return message;
  const Sealed content = get(decode_sealed(envelope));
  if (const auto* const evidence = std::get_if<EvidenceMessage>(&content))
    return attacker_.show(*evidence);
  return attacker_.sealed(content);
}

// Not only bits: also lengths.
Bytes Play::changed(Bytes message) {
  const auto at = choose_(static_cast<std::uint32_t>(message.size()));
  switch (choose_(4)) {
    case 0:
      message.resize(at);
      break;
    case 1:
      message.push_back(0);
      break;
    case 2:
      message.insert(message.begin() + at, static_cast<std::uint8_t>(choose_(256)));
      break;
    default:
      message.at(at) ^= static_cast<std::uint8_t>(1U << choose_(8));
  }
  return message;
}

}  // namespace cs::test
