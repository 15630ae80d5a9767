// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/run.h"

#include <algorithm>
#include <utility>

#include "base/constant_time.h"

namespace cs::keyms {

// Of the run that is under way.
struct Run::Progress {
  explicit Progress(EphemeralKey made) : key(std::move(made)) {}

  EphemeralKey key;
  BootTime begun;
  BootTime step_until;

  Bytes our_hello;
  std::uint32_t key_id = 0;  // what the peer has to call its new key
  SessionHello theirs;
  std::array<Nonce, 2> nonces{};       // by role
  std::array<Hash, 2> certificates{};  // by role
  Hash transcript{};                   // th1, then th2 and so on

  std::optional<SecretBytes> agreed;
  std::optional<KeyPair> run;
  std::optional<LateKeys> late;
  std::uint64_t sent = 0;      // under the run key
  std::uint64_t received = 0;  // under the peer's

  EvidenceMessage shown;  // ours
  bool endorsed = false;  // we have shown our endorsement key
  EvidenceMessage evidence;
  EvidenceStatement statement;
  Hash qualifying{};  // what the peer's quote has to bear

  LogPull pull;
  std::optional<LogAllowance> allowance;

  std::optional<SecretBytes> secret;  // of the credential we made
  std::optional<Hash> proof;          // ours
};

namespace {

constexpr std::string_view violation = "protocol_violation";

Reason reason(std::string_view code, std::string_view text) {
  return {std::string(code), as_text(text)};
}

std::optional<RunEvent> event_of(MessageType type) noexcept {
  if (type > MessageType::denied) return {};
  return static_cast<RunEvent>(type);
}
static_assert(static_cast<int>(RunEvent::denied) == static_cast<int>(MessageType::denied));

Error wrong(const std::string& what) {
  return {ErrorKind::invalid, what};
}

}  // namespace

Run::Run(RunHost& host, const Clock& clock, RunTerms terms)
    : host_(&host), clock_(&clock), terms_(std::move(terms)) {}
Run::~Run() = default;

std::optional<BootTime> Run::deadline() const noexcept {
  if (!progress_) return {};
  return std::min(progress_->step_until, progress_->begun + run_within);
}

void Run::progress(std::chrono::seconds within) {
  progress_->step_until = clock_->boot() + within;
}

void Run::begin() {
  if (terms_.role != Role::initiator || find_row(state_, RunEvent::begin) == nullptr) return;
  if (const auto done = greet(); !done.ok()) fail(done.error());
}

void Run::receive(const Envelope& envelope) {
  const auto event = event_of(envelope.type);
  const RunRow* const row = event ? find_row(state_, *event) : nullptr;
  if (row == nullptr) {
    fail(wrong(std::string(to_string(envelope.type)) + " in the state " +
               std::string(to_string(state_))));
    return;
  }
  const RunAction action = row->then;
  if (const auto done = act(action, &envelope); !done.ok()) fail(done.error());
}

void Run::quoted(Result<EvidenceMessage> evidence) {
  if (find_row(state_, RunEvent::quoted) == nullptr) return;
  if (!evidence.ok()) {
    abandon(reason("own_evidence", evidence.error().message()));
    return;
  }
  progress_->shown = std::move(evidence).value();
  if (const auto done = show(); !done.ok()) fail(done.error());
}

void Run::activated(Result<SecretBytes> secret) {
  const RunRow* const row = find_row(state_, RunEvent::activated);
  if (row == nullptr) return;
  if (!secret.ok()) {
    abandon(reason("own_proof", secret.error().message()));
    return;
  }
  const auto proof = proof_of(secret->bytes(), progress_->transcript);
  if (!proof.ok()) {
    fail(proof.error());
    return;
  }
  progress_->proof = *proof;
  const auto done = row->then == RunAction::conclude ? conclude() : finish();
  if (!done.ok()) fail(done.error());
}

void Run::tick() {
  const auto until = deadline();
  if (!until || clock_->boot() < *until) return;
  abandon(reason("timed_out",
                 "the run came no further in the state " + std::string(to_string(state_))));
}

void Run::abandon(Reason why) {
  if (progress_) end({Failed::By::us, {std::move(why)}}, true);
}

void Run::fail(const Error& why) {
  end({Failed::By::us, {reason(violation, why.message())}}, true);
}

// What cannot be said any more does not hinder the end.
void Run::end(Failed failed, bool tell) {
  if (tell && progress_ && progress_->run) {
    const auto message = sealed(Denied{failed.reasons}, progress_->run->at(index(terms_.role)));
    if (message.ok()) host_->send(*message);
  } else if (tell && terms_.role == Role::responder) {
    const auto message = encode_refuse({failed.reasons.front()});
    if (message.ok()) host_->send(*message);
  }
  done();
  host_->failed(std::move(failed));
}

void Run::done() {
  state_ = RunState::idle;
  progress_.reset();
}

Result<void> Run::act(RunAction action, const Envelope* envelope) {
  if (action == RunAction::answer) return answer(*envelope);
  if (action == RunAction::agree) return agree(*envelope);
  if (envelope->type == MessageType::refuse) {
    CS_TRY(const Refuse refuse, decode_refuse(*envelope));
    end({Failed::By::peer, {refuse.reason}}, false);
    return {};
  }
  const bool confirmed =
      envelope->type == MessageType::result || envelope->type == MessageType::final;
  if (!progress_->run || (confirmed && !progress_->late)) return wrong("there are no keys yet");
  const KeyPair& keys = confirmed ? progress_->late->confirm : *progress_->run;
  CS_CHECK(verify_envelope(*envelope, keys.at(index(peer_role()))));
  const std::uint64_t expected = confirmed ? 0 : progress_->received++;
  if (envelope->numbering.number != expected) return wrong("a message is missing or repeated");
  CS_TRY(Sealed message, decode_sealed(*envelope));
  return act_on(action, std::move(message), envelope->authenticated);
}

Result<void> Run::act_on(RunAction action, Sealed message, ByteView bytes) {
  progress(step_within);
  switch (action) {
    case RunAction::serve:
      return serve(std::get<Get>(message));
    case RunAction::pull:
      return pull(std::get<EvidenceMessage>(std::move(message)), bytes);
    case RunAction::take:
      return take(std::get<Part>(message));
    case RunAction::prove:
      return prove(std::get<ResultMessage>(message), bytes);
    case RunAction::grant:
      return grant(std::get<FinalMessage>(message));
    case RunAction::fail:
      end({Failed::By::peer, std::get<Denied>(std::move(message)).reasons}, false);
      return {};
    default:
      return wrong("no message does that");
  }
}

Result<Bytes> Run::make_hello() {
  CS_TRY(EphemeralKey key, EphemeralKey::create());
  CS_TRY(const Nonce nonce, draw_nonce());
  CS_TRY(const Nonce random, draw_nonce());
  CS_TRY(const EndpointStatement endpoint, decode_endpoint_statement(terms_.endpoint_statement));
  SessionHello hello;
  hello.role = terms_.role;
  hello.from = terms_.us;
  hello.to = terms_.peer;
  hello.nonce = nonce;
  hello.core_properties = terms_.core_properties;
  hello.policy_version = terms_.policy_version;
  hello.share = key.share();
  hello.ak_public = terms_.ak_public;
  hello.statement = terms_.endpoint_statement;
  hello.signature = terms_.endpoint_signature;
  hello.wants_proof = terms_.wants_proof;
  hello.vouchers = terms_.vouchers;
  hello.key_id = std::max(1U, load<std::endian::big, std::uint32_t>(std::span(random).first<4>()));
  progress_ = std::make_unique<Progress>(std::move(key));
  progress_->key_id = hello.key_id;
  progress_->begun = clock_->boot();
  progress_->nonces.at(index(terms_.role)) = nonce;
  progress_->certificates.at(index(terms_.role)) = endpoint.certificate;
  CS_TRY(progress_->our_hello, encode(hello));
  return progress_->our_hello;
}

Result<void> Run::greet() {
  CS_TRY(Bytes hello, make_hello());
  progress(hello_within);
  state_ = RunState::greeting;
  host_->send(std::move(hello));
  return {};
}

// Whether it is of the peer, for us, about the policy we have, and not what we have said ourselves.
Result<void> Run::take_hello(const Envelope& envelope) {
  CS_TRY(SessionHello hello, decode_hello(envelope.authenticated));
  CS_TRY(const EndpointStatement endpoint, decode_endpoint_statement(hello.statement));
  std::vector<Reason> reasons;
  if (hello.from != terms_.peer || hello.to != terms_.us || endpoint.ne_id != hello.from) {
    reasons.push_back(reason("wrong_peer", "it is " + hello.from + "'s to " + hello.to + ", not " +
                                               terms_.peer + "'s to " + terms_.us));
  } else if (hello.core_properties != terms_.core_properties) {
    reasons.push_back(reason("other_policy", "it is about another core policy: version " +
                                                 std::to_string(hello.policy_version) +
                                                 ", ours is version " +
                                                 std::to_string(terms_.policy_version)));
  } else if (hello.nonce == progress_->nonces.at(index(terms_.role))) {
    reasons.push_back(reason("reflected", "it has the nonce that we have drawn"));
  } else if (terms_.peer_certificate && endpoint.certificate != *terms_.peer_certificate) {
    reasons.push_back(reason(
        "other_endpoint", "its endpoint statement names another certificate than the channel's"));
  } else {
    reasons = host_->judge_hello(hello);
  }
  if (!reasons.empty()) {
    end({Failed::By::us, std::move(reasons)}, true);
    return {};
  }
  progress_->nonces.at(index(peer_role())) = hello.nonce;
  progress_->certificates.at(index(peer_role())) = endpoint.certificate;
  CS_TRY(progress_->agreed, progress_->key.agree(hello.share));
  progress_->theirs = std::move(hello);
  return {};
}

Result<void> Run::answer(const Envelope& envelope) {
  if (terms_.role != Role::responder) return wrong("a hello for the one who connects");
  CS_TRY(Bytes hello, make_hello());
  CS_CHECK(take_hello(envelope));
  if (!progress_) return {};
  progress_->transcript = begin_transcript(envelope.authenticated, hello);
  CS_TRY(progress_->run, run_keys(progress_->transcript, *progress_->agreed));
  progress(step_within);
  state_ = RunState::greeted;
  host_->send(std::move(hello));
  return {};
}

Result<void> Run::agree(const Envelope& envelope) {
  CS_CHECK(take_hello(envelope));
  if (!progress_) return {};
  progress_->transcript = begin_transcript(progress_->our_hello, envelope.authenticated);
  CS_TRY(progress_->run, run_keys(progress_->transcript, *progress_->agreed));
  ask_for_evidence();
  return {};
}

void Run::ask_for_evidence() {
  progress(step_within);
  state_ = terms_.role == Role::initiator ? RunState::quoting : RunState::r_quoting;
  ShowRequest request;
  request.context = {terms_.role, progress_->transcript, progress_->nonces, terms_.channel,
                     progress_->certificates};
  request.key_id = progress_->theirs.key_id;
  request.endorsement = progress_->theirs.wants_proof;
  host_->show(request);
}

Result<void> Run::show() {
  EvidenceMessage& ours = progress_->shown;
  progress_->endorsed = !ours.endorsement_key.empty();
  progress_->allowance.emplace(ours.sizes);
  if (terms_.role == Role::responder) {
    CS_TRY(ours.credential, make_challenge());
  }
  CS_TRY(const Bytes message, sealed(ours, progress_->run->at(index(terms_.role))));
  const ByteView authenticated = ByteView(message).first(message.size() - hmac_size);
  progress_->transcript = continue_transcript(progress_->transcript, authenticated);
  if (terms_.role == Role::responder) {
    CS_TRY(progress_->late, late_keys(progress_->transcript, *progress_->agreed));
  }
  state_ = terms_.role == Role::initiator ? RunState::showing : RunState::r_showing;
  progress(step_within);
  host_->send(message);
  return {};
}

Result<void> Run::serve(const Get& get) {
  CS_CHECK(progress_->allowance->take(get));
  const auto read = host_->read_log(get.log, get.offset, get.length);
  if (!read.ok() || read->size() != get.length) {
    abandon(
        reason("own_evidence", read.ok() ? "a log has become shorter" : read.error().message()));
    return {};
  }
  for (std::size_t at = 0; at < read->size(); at += most_part) {
    const ByteView rest = ByteView(*read).subspan(at);
    CS_CHECK(send(Part{get.log, get.offset + at, rest.first(std::min(rest.size(), most_part))},
                  progress_->run->at(index(terms_.role))));
  }
  return {};
}

Result<void> Run::pull(EvidenceMessage evidence, ByteView bytes) {
  CS_TRY(progress_->statement, decode_statement(evidence.statement));
  // Else it could take the place of another peer's key.
  if (progress_->statement.key_id != progress_->key_id)
    return wrong("a new key of another id than hello has asked for");
  CS_CHECK(check_session_key(progress_->statement.suite, progress_->statement.public_key));
  progress_->qualifying = qualifying_data({peer_role(), progress_->transcript, progress_->nonces,
                                           terms_.channel, progress_->certificates},
                                          evidence.statement);
  progress_->transcript = continue_transcript(progress_->transcript, bytes);
  if (terms_.role == Role::initiator) {
    CS_TRY(progress_->late, late_keys(progress_->transcript, *progress_->agreed));
  }
  if (evidence.credential && !progress_->endorsed)
    return wrong("a credential for an endorsement key that was not shown");
  progress_->evidence = std::move(evidence);
  state_ = terms_.role == Role::initiator ? RunState::appraising : RunState::r_appraising;
  auto wanted = host_->wanted(progress_->evidence);
  if (!wanted.ok()) {
    abandon(reason("evidence_too_long", wanted.error().message()));
    return {};
  }
  if (const auto fits = progress_->pull.want(std::move(wanted).value()); !fits.ok()) {
    abandon(reason("evidence_too_long", fits.error().message()));
    return {};
  }
  return ask_next();
}

// For the next piece of what is wanted; when all of it is there, judges.
Result<void> Run::ask_next() {
  const auto get = progress_->pull.next();
  if (!get) return judge();
  return send(*get, progress_->run->at(index(terms_.role)));
}

Result<void> Run::take(const Part& part) {
  CS_TRY(const bool all, progress_->pull.take(part));
  return all ? ask_next() : Result<void>();
}

Result<void> Run::judge() {
  PeerShown shown{
      progress_->theirs,    progress_->evidence, progress_->statement, progress_->pull.pieces(), {},
      progress_->qualifying};
  std::ranges::transform(progress_->pull.logs(), shown.logs.begin(),
                         [](const Bytes& log) { return ByteView(log); });
  std::vector<Reason> reasons = host_->judge(shown);
  if (!reasons.empty()) {
    if (reasons.size() > most_reasons) reasons.resize(most_reasons);
    end({Failed::By::us, std::move(reasons)}, true);
    return {};
  }
  progress_->pull.forget();
  if (terms_.role == Role::responder) {
    ask_for_evidence();
    return {};
  }
  if (!progress_->evidence.credential) return conclude();
  state_ = RunState::proving;
  host_->activate(*progress_->evidence.credential);
  return {};
}

// Only who has shown an endorsement key is asked for a proof; whether one without is taken is for
// judge() to say.
Result<std::optional<CredentialFor>> Run::make_challenge() {
  if (!terms_.wants_proof || progress_->evidence.endorsement_key.empty())
    return std::optional<CredentialFor>();
  CS_TRY(RunHost::Challenge made, host_->challenge(progress_->evidence, progress_->theirs));
  progress_->secret = std::move(made.secret);
  return std::optional<CredentialFor>(std::move(made.credential));
}

Result<void> Run::conclude() {
  ResultMessage result;
  result.proof = progress_->proof;
  CS_TRY(result.credential, make_challenge());
  CS_TRY(const Bytes message,
         seal_message(result, {}, progress_->late->confirm.at(index(terms_.role))));
  progress_->transcript = continue_transcript(progress_->transcript,
                                              ByteView(message).first(message.size() - hmac_size));
  progress(step_within);
  state_ = RunState::concluding;
  host_->send(message);
  return {};
}

Result<void> Run::prove(const ResultMessage& result, ByteView bytes) {
  CS_TRY(const bool proved, check_proof(result.proof));
  if (!proved) return {};
  if (result.credential && !progress_->endorsed)
    return wrong("a credential for an endorsement key that was not shown");
  progress_->transcript = continue_transcript(progress_->transcript, bytes);
  if (!result.credential) return finish();
  state_ = RunState::r_proving;
  host_->activate(*result.credential);
  return {};
}

// False: it is wrong, and the run has ended.
Result<bool> Run::check_proof(const std::optional<Hash>& proof) {
  if (!progress_->secret) {
    if (proof) return wrong("a proof that nobody has asked for");
    return true;
  }
  CS_TRY(const Hash expected, proof_of(progress_->secret->bytes(), progress_->transcript));
  if (proof && constant_time_equal(*proof, expected)) return true;
  end({Failed::By::us,
       {reason("proof_wrong",
               "the attestation key is not in the TPM whose endorsement key was shown")}},
      true);
  return false;
}

Result<void> Run::finish() {
  CS_TRY(const Bytes message, seal_message(FinalMessage{progress_->proof}, {},
                                           progress_->late->confirm.at(index(terms_.role))));
  return grant_with(message);
}

Result<void> Run::grant(const FinalMessage& final) {
  CS_TRY(const bool proved, check_proof(final.proof));
  if (!proved) return {};
  return grant_with({});
}

// The host has the peer's key before the peer hears that it has.
Result<void> Run::grant_with(Bytes last_message) {
  CS_TRY(EvidenceStatement ours, decode_statement(progress_->shown.statement));
  Granted granted{terms_.role,
                  std::move(*progress_->late),
                  std::move(progress_->theirs),
                  std::move(ours),
                  std::move(progress_->statement),
                  std::move(progress_->shown.quote.attest),
                  std::move(progress_->evidence.quote.attest),
                  progress_->secret.has_value()};
  done();
  host_->granted(std::move(granted), std::move(last_message));
  return {};
}

Result<Bytes> Run::sealed(const Sealed& message, const SecretBytes& key) {
  return seal_message(message, {0, progress_->sent++}, key);
}

Result<void> Run::send(const Sealed& message, const SecretBytes& key) {
  CS_TRY(Bytes bytes, sealed(message, key));
  host_->send(std::move(bytes));
  return {};
}

}  // namespace cs::keyms
