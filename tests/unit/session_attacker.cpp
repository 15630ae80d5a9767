// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/session_attacker.h"

#include <algorithm>

namespace cs::test {

using namespace keyms;  // NOLINT(google-build-using-namespace): a test of just that

namespace {

ByteView authenticated(ByteView sealed) {
  return sealed.first(sealed.size() - hmac_size);
}

bool is_confirmed(MessageType type) {
  return type == MessageType::result || type == MessageType::final;
}

}  // namespace

Attacker::Attacker(StandInHost& victim, StandInTpm& tpm)
    : victim_(&victim), tpm_(&tpm), role_(other(victim.run.terms().role)) {}

SessionHello Attacker::make_hello() {
  const RunTerms& terms = victim_->run.terms();
  key_ = get(EphemeralKey::create());
  SessionHello hello;
  hello.role = role_;
  hello.from = terms.peer;
  hello.to = terms.us;
  hello.nonce = get(draw_nonce());
  hello.core_properties = terms.core_properties;
  hello.policy_version = terms.policy_version;
  hello.share = key_->share();
  hello.ak_public = attestation_key_of(terms.peer);
  hello.statement = endpoint_statement_of(terms.peer);
  hello.signature = stand_in_signature(terms.peer, hello.statement);
  hello.wants_proof = terms.wants_proof;
  hello.key_id = 0x40;
  return hello;
}

Bytes Attacker::say(const SessionHello& hello) {
  our_hello_ = get(encode(hello));
  nonces_.at(index(role_)) = hello.nonce;
  certificates_.at(index(role_)) = certificate_of(hello.from);
  if (role_ == Role::responder) agree();
  return our_hello_;
}

// What cannot be agreed on leaves it without keys.
void Attacker::agree() {
  if (!victims_hello || our_hello_.empty()) return;
  nonces_.at(index(other(role_))) = victims_hello->nonce;
  certificates_.at(index(other(role_))) = certificate_of(victims_hello->from);
  const bool first = role_ == Role::initiator;
  transcript_ = begin_transcript(first ? our_hello_ : victims_hello_bytes_,
                                 first ? victims_hello_bytes_ : our_hello_);
  auto agreed = key_->agree(victims_hello->share);
  if (!agreed.ok()) return;
  agreed_ = std::move(agreed).value();
  run_ = get(run_keys(transcript_, *agreed_));
}

QuoteContext Attacker::context() const {
  return {role_, transcript_, nonces_, victim_->run.terms().channel, certificates_};
}

EvidenceMessage Attacker::make_evidence() {
  EvidenceMessage evidence;
  evidence.statement = get(encode(statement_for(victims_hello ? victims_hello->key_id : 1)));
  quote(evidence);
  get(evidence.values.set(15, tpm::Digest(tpm::HashAlgorithm::sha256)));
  evidence.sizes = {20'000, 1, most_part, 0, 300};
  evidence.endorsement_key = endorsement_key_of(tpm_->name);
  if (role_ == Role::responder && victims_hello && victims_evidence &&
      !victims_evidence->endorsement_key.empty()) {
    evidence.credential = credential_for(victims_evidence->endorsement_key,
                                         victims_hello->ak_public, Bytes(hmac_size, 3));
  }
  return evidence;
}

void Attacker::quote(EvidenceMessage& evidence) {
  evidence.quote = tpm_->quote(qualifying_data(context(), evidence.statement));
}

Bytes Attacker::show(const EvidenceMessage& evidence) {
  Bytes message = get(seal_message(evidence, {0, number++}, run_->at(index(role_))));
  continue_with(authenticated(message));
  shown_ = true;
  if (role_ == Role::responder) late_ = get(late_keys(transcript_, *agreed_));
  return message;
}

void Attacker::continue_with(ByteView sealed) {
  transcript_ = continue_transcript(transcript_, sealed);
}

// Without the TPM that could: something.
std::optional<Hash> Attacker::proof() {
  if (!victims_credential) return {};
  const auto secret = tpm_->activate(*victims_credential);
  return secret.ok() ? get(proof_of(*secret, transcript_)) : Hash{};
}

std::optional<Bytes> Attacker::conclude() {
  if (!late_) return {};
  const SecretBytes& confirm = late_->confirm.at(index(role_));
  concluded_ = true;
  if (role_ == Role::responder) return get(seal_message(FinalMessage{proof()}, {}, confirm));
  ResultMessage result;
  result.proof = proof();
  if (!victims_evidence->endorsement_key.empty() && victim_->run.terms().wants_proof) {
    result.credential = credential_for(victims_evidence->endorsement_key, victims_hello->ak_public,
                                       Bytes(hmac_size, 4));
  }
  Bytes message = get(seal_message(result, {}, confirm));
  continue_with(authenticated(message));
  return message;
}

const SecretBytes* Attacker::key(MessageType type, Role of) const {
  if (is_of_link(type)) return late_ ? &late_->link.at(index(of)) : nullptr;
  if (is_confirmed(type)) return late_ ? &late_->confirm.at(index(of)) : nullptr;
  return run_ ? &run_->at(index(of)) : nullptr;
}

std::optional<Bytes> Attacker::sealed(const Sealed& message) {
  const SecretBytes* const with = key(type_of(message), role_);
  if (with == nullptr) return {};
  const bool counted = !is_confirmed(type_of(message)) && !is_of_link(type_of(message));
  return get(seal_message(message, {1, counted ? number++ : 0}, *with));
}

std::optional<Bytes> Attacker::part_of(const Get& get, std::size_t size) {
  const Bytes bytes(size, static_cast<std::uint8_t>(victim_->run.terms().peer.size()));
  return sealed(Part{get.log, get.offset, bytes});
}

std::optional<Bytes> Attacker::next_part() {
  Get& get = gets.front();
  const Get now = get;
  const std::size_t size = std::min<std::size_t>(get.length, most_part);
  get.offset += size;
  get.length -= static_cast<std::uint32_t>(size);
  if (get.length == 0) gets.pop_front();
  return part_of(now, size);
}

std::optional<Bytes> Attacker::next() {
  const bool first = role_ == Role::initiator;
  if (our_hello_.empty() && (first || victims_hello)) return say(make_hello());
  if (!run_) return {};
  if (!gets.empty()) return next_part();
  if (!shown_ && (first || victims_evidence)) return show(make_evidence());
  if (shown_ && !concluded_ && (first ? victims_evidence.has_value() : asked_to_conclude_))
    return conclude();
  return {};
}

void Attacker::hear(ByteView message) {
  const Envelope envelope = get(open_envelope(message));
  if (envelope.type == MessageType::refuse) return;
  if (!envelope.mac.empty()) {
    hear_sealed(envelope);
    return;
  }
  victims_hello = get(decode_hello(message));
  victims_hello_bytes_.assign(message.begin(), message.end());
  if (role_ == Role::initiator) agree();
}

void Attacker::hear_sealed(const Envelope& envelope) {
  const SecretBytes* const with = key(envelope.type, other(role_));
  // Of a run that is not ours any more.
  if (with == nullptr || !verify_envelope(envelope, *with).ok()) return;
  const Sealed message = get(decode_sealed(envelope));
  if (const auto* const evidence = std::get_if<EvidenceMessage>(&message)) {
    victims_evidence = *evidence;
    if (evidence->credential) victims_credential = evidence->credential;
    continue_with(envelope.authenticated);
    if (role_ == Role::initiator) late_ = get(late_keys(transcript_, *agreed_));
  } else if (const auto* const get = std::get_if<Get>(&message)) {
    ++heard_gets;
    gets.push_back(*get);
  } else if (const auto* const part = std::get_if<Part>(&message)) {
    ++heard_parts;
    heard_part_bytes += part->bytes.size();
  } else if (const auto* const result = std::get_if<ResultMessage>(&message)) {
    if (result->credential) victims_credential = result->credential;
    continue_with(envelope.authenticated);
    asked_to_conclude_ = true;
  } else if (const auto* const denied = std::get_if<Denied>(&message)) {
    victims_reasons = denied->reasons;
  } else if (std::holds_alternative<FinalMessage>(message)) {
    granted = true;
  }
}

void Witness::in(ByteView message) {
  const auto envelope = open_envelope(message);
  if (!envelope.ok()) return;
  const Role sender = other(watched_->run.terms().role);
  const ByteView bytes = envelope->authenticated;
  const Bytes copy(bytes.begin(), bytes.end());
  if (envelope->type == MessageType::initiator_hello && sender == Role::initiator)
    hellos_[0] = copy;
  if (envelope->type == MessageType::responder_hello && sender == Role::responder)
    hellos_[1] = copy;
  if (envelope->type == MessageType::evidence) evidences_.at(index(sender)) = copy;
}

void Witness::out(ByteView message) {
  const Envelope envelope = get(open_envelope(message));
  const std::size_t us = index(watched_->run.terms().role);
  const ByteView bytes = envelope.authenticated;
  if (envelope.type == MessageType::initiator_hello ||
      envelope.type == MessageType::responder_hello)
    hellos_.at(us).assign(bytes.begin(), bytes.end());
  if (envelope.type != MessageType::evidence && envelope.type != MessageType::result) return;
  const Sealed sealed = get(decode_sealed(envelope));
  if (const auto* const evidence = std::get_if<EvidenceMessage>(&sealed)) {
    evidences_.at(us).assign(bytes.begin(), bytes.end());
    credential_ = evidence->credential;
  } else {
    credential_ = std::get<ResultMessage>(sealed).credential;
  }
}

std::string Witness::why_unjustified(const Granted& grant, const StandInTpm& named) {
  const RunTerms& terms = watched_->run.terms();
  const Role peer = other(grant.role);
  QuoteContext context;
  context.role = peer;
  context.channel = terms.channel;
  context.transcript = begin_transcript(hellos_[0], hellos_[1]);
  for (std::size_t side = 0; side < 2; ++side) {
    const SessionHello hello = get(decode_hello(hellos_.at(side)));
    context.nonces.at(side) = hello.nonce;
    context.certificates.at(side) = get(decode_endpoint_statement(hello.statement)).certificate;
    if (side == index(peer) && (hello.from != named.name || hello.to != terms.us))
      return "granted to " + hello.from;
  }
  if (peer == Role::responder)
    context.transcript = continue_transcript(context.transcript, evidences_[0]);
  Envelope envelope;
  envelope.type = MessageType::evidence;
  envelope.authenticated = evidences_.at(index(peer));
  const auto evidence = std::get<EvidenceMessage>(get(decode_sealed(envelope)));
  const Hash qualifying = qualifying_data(context, evidence.statement);
  Bytes attest(qualifying.begin(), qualifying.end());
  attest.push_back(1);
  if (std::ranges::find(named.quoted, attest) == named.quoted.end())
    return "the TPM of " + named.name + " has not made a good quote for this run";
  if (!used_.insert(attest).second) return "a quote that was granted upon before";
  if (grant.theirs != get(decode_statement(evidence.statement)))
    return "another session key than was quoted";
  if (grant.proved &&
      (!credential_ || std::ranges::find(named.activated, *credential_) == named.activated.end())) {
    return "proved, but no TPM has proved it";
  }
  return {};
}

}  // namespace cs::test
