// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/session_pair.h"

#include <functional>

#include "tests/unit/signer_messages.h"

namespace cs::test {

using namespace keyms;  // NOLINT(google-build-using-namespace): a test of just that

namespace {

ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string text_of(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

// What a credential is wrapped for: a TPM, and a key in it.
Bytes wrapping(ByteView endorsement_key, ByteView ak) {
  return stand_in_signature(text_of(endorsement_key), ak);
}

RunTerms terms_of(const std::string& name, const std::string& peer, Role role, bool wants_proof) {
  RunTerms terms;
  terms.role = role;
  terms.us = name;
  terms.peer = peer;
  terms.core_properties = counted<32>(0x30);
  terms.policy_version = 3;
  terms.channel = channel_of(counted<32>(0x70));
  terms.wants_proof = wants_proof;
  terms.ak_public = attestation_key_of(name);
  terms.endpoint_statement = endpoint_statement_of(name);
  terms.endpoint_signature = stand_in_signature(name, terms.endpoint_statement);
  terms.peer_certificate = certificate_of(terms.peer);
  return terms;
}

}  // namespace

Bytes stand_in_signature(const std::string& name, ByteView signed_bytes) {
  Bytes out(hmac_size);
  get(hmac_sha256(bytes_of("the TPM of " + name), {signed_bytes}, out));
  return out;
}

Hash certificate_of(const std::string& name) {
  return domain_hash("certificate", {bytes_of(name)});
}
Bytes attestation_key_of(const std::string& name) {
  const ByteView bytes = bytes_of(name);
  return {bytes.begin(), bytes.end()};
}
Bytes endorsement_key_of(const std::string& name) {
  return attestation_key_of(name);
}
Bytes endpoint_statement_of(const std::string& name) {
  return get(encode(EndpointStatement{name, certificate_of(name), 1, 2}));
}

EvidenceStatement statement_for(std::uint32_t key_id) {
  static const Share share = get(EphemeralKey::create()).share();
  EvidenceStatement statement;
  statement.public_key.assign(share.begin(), share.end());
  statement.key_id = key_id;
  statement.not_after = 1'800'000'000;
  statement.lifetime_ms = 600'000;
  statement.last_lane = 63;
  return statement;
}

SignedAttestation StandInTpm::quote(const Hash& qualifying) {
  SignedAttestation out;
  out.attest.assign(qualifying.begin(), qualifying.end());
  out.attest.push_back(good ? 1 : 0);
  out.signature = stand_in_signature(name, out.attest);
  quoted.push_back(out.attest);
  return out;
}

Result<Bytes> StandInTpm::activate(const CredentialFor& credential) {
  const Bytes pad = wrapping(endorsement_key_of(name), attestation_key_of(name));
  Bytes secret = credential.encrypted_secret;
  if (!opens || secret.size() != pad.size() ||
      credential.id_object != stand_in_signature(text_of(pad), secret)) {
    return Error(ErrorKind::unverified, "a credential for another TPM");
  }
  std::ranges::transform(secret, pad, secret.begin(), std::bit_xor<>());
  activated.push_back(credential);
  recovered.push_back(secret);
  return secret;
}

CredentialFor credential_for(ByteView endorsement_key, ByteView ak, ByteView secret) {
  const Bytes pad = wrapping(endorsement_key, ak);
  CredentialFor out;
  out.encrypted_secret.assign(secret.begin(), secret.end());
  std::ranges::transform(out.encrypted_secret, pad, out.encrypted_secret.begin(), std::bit_xor<>());
  out.id_object = stand_in_signature(text_of(pad), out.encrypted_secret);
  return out;
}

StandInHost::StandInHost(const std::string& who, const std::string& peer, const Clock& clock,
                         Role role, bool wants_proof)
    : tpm(who), run(*this, clock, terms_of(who, peer, role, wants_proof)) {
  const auto seed = static_cast<std::uint8_t>(who.size());
  logs[0] = Bytes(20'000, seed);
  logs[1] = Bytes(1, seed);
  logs[2] = Bytes(most_part, seed);
  logs[3] = {};
  logs[4] = Bytes(300, seed);
}

std::vector<Reason> StandInHost::judge_hello(const SessionHello& hello) {
  if (!refuses.empty()) return refuses;
  if (hello.ak_public != attestation_key_of(hello.from))
    return {{"attestation_key", "not the one that the policy names"}};
  if (hello.signature == stand_in_signature(hello.from, hello.statement)) return {};
  return {{"endpoint_signature", "not signed by the attestation key"}};
}

void StandInHost::show(const ShowRequest& request) {
  asked_to_show = request;
}

void StandInHost::activate(const CredentialFor& credential) {
  asked_to_activate = credential;
}

void StandInHost::answer() {
  if (asked_to_show) {
    const ShowRequest request = *std::exchange(asked_to_show, std::nullopt);
    if (tpm_fails) {
      run.quoted(*tpm_fails);
      return;
    }
    EvidenceMessage evidence;
    evidence.statement = get(encode(statement_for(request.key_id)));
    evidence.quote = tpm.quote(qualifying_data(request.context, evidence.statement));
    get(evidence.values.set(15, tpm::Digest(tpm::HashAlgorithm::sha256)));
    for (std::size_t i = 0; i < logs.size(); ++i) evidence.sizes.at(i) = logs.at(i).size();
    if (request.endorsement) evidence.endorsement_key = endorsement_key_of(tpm.name);
    if (spoil) spoil(evidence, request);
    run.quoted(std::move(evidence));
  }
  if (asked_to_activate) {
    auto secret = tpm.activate(*std::exchange(asked_to_activate, std::nullopt));
    if (!secret.ok()) {
      run.activated(secret.error());
      return;
    }
    if (other_tpm) secret->at(0) ^= 1U;
    run.activated(SecretBytes::copy_of(*secret));
  }
}

Result<Bytes> StandInHost::read_log(Log log, std::uint64_t offset, std::size_t length) {
  if (log_fails) return *log_fails;
  const ByteView all = logs.at(static_cast<std::size_t>(log));
  const ByteView piece = all.subspan(offset, length);
  return Bytes(piece.begin(), piece.end());
}

Result<std::vector<Wanted>> StandInHost::wanted(const EvidenceMessage& evidence) {
  if (wants) return *wants;
  std::vector<Wanted> out;
  for (std::size_t i = 0; i < log_count; ++i) {
    if (evidence.sizes.at(i) > 1'000'000) return Error(ErrorKind::limit, "a log is too long");
    out.push_back({static_cast<Log>(i), 0, evidence.sizes.at(i)});
  }
  return out;
}

std::vector<Reason> StandInHost::judge(const PeerShown& shown) {
  ++judged;
  const std::string& who = shown.hello.from;
  if (shown.evidence.quote.signature != stand_in_signature(who, shown.evidence.quote.attest))
    return {{"quote_signature", "not signed by the attestation key"}};
  const ByteView attest = shown.evidence.quote.attest;
  if (attest.size() != Hash{}.size() + 1 ||
      !std::ranges::equal(attest.first(Hash{}.size()), shown.qualifying)) {
    return {{"qualifying_data", "a quote for something else"}};
  }
  if (attest.back() != 1) return {{"pcr_values", "the machine is not in the state agreed"}};
  for (std::size_t i = 0; i < log_count; ++i) {
    const Bytes expected(shown.evidence.sizes.at(i), static_cast<std::uint8_t>(who.size()));
    if (!std::ranges::equal(shown.logs.at(i), expected)) return {{"log", "another log"}};
  }
  return {};
}

Result<RunHost::Challenge> StandInHost::challenge(const EvidenceMessage& evidence,
                                                  const SessionHello& hello) {
  CS_TRY(const Nonce secret, draw_nonce());
  CS_TRY(SecretBytes kept, SecretBytes::copy_of(secret));
  return Challenge{credential_for(evidence.endorsement_key, hello.ak_public, secret),
                   std::move(kept)};
}

void StandInHost::granted(Granted grant, Bytes last_message) {
  grants.push_back(std::move(grant));
  if (!last_message.empty()) send(std::move(last_message));
}

SessionPair::SessionPair(bool wants_proof)
    : initiator("berlin", "hamburg", clock, Role::initiator, wants_proof),
      responder("hamburg", "berlin", clock, Role::responder, wants_proof) {
  // Several gets, each of several parts.
  for (StandInHost* host : {&initiator, &responder})
    host->logs[0] = Bytes(700'000, static_cast<std::uint8_t>(host->tpm.name.size()));
}

void receive(StandInHost& host, ByteView message) {
  const auto envelope = open_envelope(message);
  if (!envelope.ok()) {
    host.run.abandon({"protocol_violation", as_text(envelope.error().message())});
  } else if (!is_of_link(envelope->type)) {
    host.run.receive(*envelope);
  }
}

void SessionPair::deliver(const Middle& middle) {
  const auto one_way = [&](Role from) {
    StandInHost& sender = of(from);
    StandInHost& receiver = of(other(from));
    sender.answer();
    if (sender.sent.empty()) return false;
    Bytes message = std::move(sender.sent.front());
    sender.sent.pop_front();
    if (middle) middle(from, message);
    // A channel that has failed is closed.
    if (!message.empty() && receiver.failures.empty()) receive(receiver, message);
    return true;
  };
  bool more = true;
  while (more) {
    more = one_way(Role::initiator);
    more = one_way(Role::responder) || more;
  }
}

}  // namespace cs::test
