// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/pair.h"

#include <algorithm>
#include <array>
#include <utility>

namespace cs::keyms {
namespace {

constexpr std::chrono::seconds applied_within{5};

// What ends a run and says nothing of the peer: what was granted before stays.
bool is_technical(const Reason& reason) {
  constexpr std::array<std::string_view, 7> codes{"protocol_violation", "timed_out", "own_evidence",
                                                  "own_proof",          "not_ready", "replaced",
                                                  "too_often"};
  return std::ranges::find(codes, reason.code) != codes.end();
}

// Ahead of the end.
std::chrono::milliseconds renewed_after(std::chrono::seconds interval) {
  return std::chrono::milliseconds(interval) * 3 / 4;
}

Reason reason(std::string_view code, std::string_view text) {
  return {std::string(code), as_text(text)};
}

}  // namespace

std::string_view to_string(Standing standing) noexcept {
  constexpr std::array<std::string_view, 4> names{"closed", "granted", "reported", "restricted"};
  return names.at(static_cast<std::size_t>(standing));
}

struct Pair::Channel {
  Channel(Pair& pair, const Clock& clock, std::unique_ptr<PairChannel> made, RunTerms terms)
      : port(std::move(made)),
        role(terms.role),
        link(clock, role),
        run(pair, clock, std::move(terms)) {}
  std::unique_ptr<PairChannel> port;
  Role role;
  Link link;
  Run run;
  // The initiator's: what it says under them begins with ready.
  std::optional<KeyPair> to_open = {};
};

Pair::Pair(PairHost& host, const Clock& clock, PairTerms terms)
    : host_(&host), clock_(&clock), terms_(std::move(terms)) {
  reasons_ = {reason("not_yet", "no attestation was tried yet")};
  if (terms_.role == Role::initiator) next_run_ = clock_->boot();
}
Pair::~Pair() = default;

Role Pair::role() const noexcept {
  const Channel* const channel = channel_.get();
  return channel == nullptr ? terms_.role : channel->role;
}

Result<RunTerms> Pair::run_terms(const PairChannel& channel) const {
  CS_TRY(PairHost::Endpoint endpoint, host_->endpoint(channel.certificate()));
  RunTerms terms;
  terms.role = channel.role();
  terms.us = terms_.us;
  terms.peer = terms_.peer;
  terms.core_properties = terms_.core_properties;
  terms.policy_version = terms_.policy_version;
  terms.wants_proof = host_->wants_proof();
  terms.ak_public = std::move(endpoint.ak_public);
  terms.endpoint_statement = std::move(endpoint.statement);
  terms.endpoint_signature = std::move(endpoint.signature);
  terms.channel = channel.channel();
  terms.peer_certificate = channel.peer_certificate();
  return terms;
}

void Pair::channel_up(std::unique_ptr<PairChannel> channel) {
  calling_ = false;
  if (channel_) close_channel(reason("replaced", "a newer channel has come"), false);
  auto terms = run_terms(*channel);
  if (!terms.ok()) {
    channel->close(reason("not_ready", terms.error().message()));
    trouble("not_ready", terms.error());
    return;
  }
  channel_ =
      std::make_unique<Channel>(*this, *clock_, std::move(channel), std::move(terms).value());
  next_run_.reset();
  if (role() == Role::initiator) begin_run();
}

void Pair::channel_down(const Reason& why) {
  if (!channel_) return;
  closed_.push_back(std::move(channel_));
  host_->tell({PairHost::Told::What::trouble, {why}, true});
  // What was granted stays until the silence has lasted too long.
  if (role() == Role::initiator) next_run_ = clock_->boot() + call_again;
}

void Pair::unreachable() {
  calling_ = false;
  if (!channel_ && role() == Role::initiator) next_run_ = clock_->boot() + call_again;
}

void Pair::close_channel(const Reason& why, bool denied) {
  if (!channel_) return;
  denied ? channel_->port->deny(why) : channel_->port->close(why);
  closed_.push_back(std::move(channel_));
}

void Pair::receive(ByteView message) {
  if (!channel_) return;
  const auto envelope = open_envelope(message);
  if (!envelope.ok()) {
    failed({Failed::By::us, {reason("protocol_violation", envelope.error().message())}});
  } else if (is_of_link(envelope->type)) {
    on_link(*envelope);
  } else {
    channel_->run.receive(*envelope);
  }
}

void Pair::quoted(Result<EvidenceMessage> evidence) {
  if (channel_) channel_->run.quoted(std::move(evidence));
}

void Pair::activated(Result<SecretBytes> secret) {
  if (channel_) channel_->run.activated(std::move(secret));
}

void Pair::send(Bytes message) {
  if (channel_) channel_->port->send(std::move(message));
}

// Runs of this gateway itself are not begun while it is not as it should be.
std::vector<Reason> Pair::judge_hello(const SessionHello& hello) {
  if (is_at_fault()) return own_faults_;
  return host_->judge_hello(hello);
}

std::vector<Reason> Pair::judge(const PeerShown& shown) {
  PairHost::Judgement found = host_->judge(shown);
  borne_.clear();
  if (found.of_identity.empty() && found.of_state.empty()) {
    if (own_faults_.empty()) failing_since_.reset();
    return {};
  }
  if (found.of_identity.empty()) {
    if (!failing_since_) failing_since_ = clock_->boot();
    if (consequence() != OnFailure::cut) {
      borne_ = std::move(found.of_state);
      return {};
    }
  }
  found.of_identity.insert(found.of_identity.end(), found.of_state.begin(), found.of_state.end());
  return std::move(found.of_identity);
}

// So that nothing is begun before it is mended.
bool Pair::is_at_fault() const {
  return !own_faults_.empty() && consequence() == OnFailure::cut;
}

// How bad it is by now.
OnFailure Pair::consequence() const {
  if (!failing_since_ || terms_.grace.count() == 0) return terms_.on_failure;
  const auto steps = (clock_->boot() - *failing_since_) / terms_.grace;
  const auto worst = static_cast<std::int64_t>(OnFailure::cut);
  return static_cast<OnFailure>(
      std::min<std::int64_t>(static_cast<std::int64_t>(terms_.on_failure) + steps, worst));
}

std::size_t Pair::runs_in_a_minute(std::chrono::seconds interval) noexcept {
  constexpr std::chrono::minutes minute{1};
  return 6 + static_cast<std::size_t>(minute / renewed_after(interval));
}

void Pair::begin_run() {
  next_run_.reset();
  // The other end refuses more.
  const BootTime now = clock_->boot();
  while (!begun_.empty() && now - begun_.front() >= std::chrono::minutes(1)) begun_.pop_front();
  if (begun_.size() >= runs_in_a_minute(terms_.interval)) {
    next_run_ = begun_.front() + std::chrono::minutes(1);
    return;
  }
  begun_.push_back(now);
  auto terms = run_terms(*channel_->port);
  if (!terms.ok()) {
    trouble("not_ready", terms.error());
    try_again_later();
    return;
  }
  channel_->run.terms() = std::move(terms).value();
  channel_->run.begin();
}

void Pair::granted(Granted grant, Bytes last_message) {
  const BootTime now = clock_->boot();
  const bool renewed = grant_.has_value();
  if (grant.role == Role::initiator) {
    channel_->to_open = std::move(grant.keys.link);
  } else {
    channel_->link.open_epoch(std::move(grant.keys.link));
  }
  host_->retire_keys(now + terms_.overlap);
  grant_ =
      Grant{std::move(grant), now, now + terms_.interval + terms_.overlap, std::move(last_message)};
  heard_ = now;
  ++granted_runs_;
  by_peer_ = false;
  reasons_ = borne_;
  delay_ = first_delay;
  if (role() == Role::initiator) next_run_ = now + renewed_after(terms_.interval);
  host_->tell({renewed ? PairHost::Told::What::renewed : PairHost::Told::What::granted, borne_});
  const auto verified = host_->add_inbound(grant_->what);
  if (!verified.ok()) {
    fail({reason("own_keys", verified.error().message())}, false);
    return;
  }
  if (!*verified) use_new_keys();
}

void Pair::applied(std::uint32_t key) {
  if (grant_ && !grant_->applied && grant_->what.theirs.key_id == key) use_new_keys();
}

// Our data plane takes what the peer signs with its new key: so it may.
void Pair::use_new_keys() {
  grant_->applied = true;
  escalate();
  if (!grant_ || !channel_) return;
  channel_->port->grant();
  if (grant_->what.role == Role::responder) {
    send(std::exchange(grant_->last_message, {}));
    return;
  }
  // Of a channel that has gone there is nothing to be said: the next one has a run of its own.
  if (!channel_->to_open) return;
  channel_->link.open_epoch(*std::exchange(channel_->to_open, std::nullopt));
  if (const auto said = say(Ready{}); !said.ok()) trouble("link", said.error());
  is_ready();
}

// So does the peer's: we may sign with ours.
void Pair::is_ready() {
  grant_->ready = true;
  if (const auto added = host_->add_outbound(grant_->what); !added.ok()) {
    fail({reason("own_keys", added.error().message())}, false);
    return;
  }
  host_->begin_sas(grant_->what.keys.session_id, grant_->what.role);
}

Result<void> Pair::say(const Sealed& message) {
  if (!channel_) return Error(ErrorKind::closed, "there is no channel to " + terms_.peer);
  CS_TRY(Bytes bytes, channel_->link.seal(message));
  channel_->port->send(std::move(bytes));
  return {};
}

void Pair::on_link(const Envelope& envelope) {
  auto message = channel_->link.open(envelope);
  if (!message.ok()) {
    failed({Failed::By::us, {reason("protocol_violation", message.error().message())}});
    return;
  }
  heard_ = clock_->boot();
  // Values of a session that another one has followed: all are told anew in that.
  const bool of_sas =
      std::holds_alternative<Sas>(*message) || std::holds_alternative<SasGone>(*message);
  if (of_sas && envelope.numbering.epoch != channel_->link.epoch()) return;
  on_link(std::move(message).value());
}

void Pair::on_link(Sealed message) {
  if (std::holds_alternative<Ready>(message)) {
    if (grant_ && !grant_->ready) is_ready();
  } else if (const auto* sas = std::get_if<Sas>(&message)) {
    host_->on_sas(*sas);
  } else if (const auto* gone = std::get_if<SasGone>(&message)) {
    host_->on_sas_gone(*gone);
  } else if (auto* denied = std::get_if<Deny>(&message)) {
    fail(std::move(denied->reasons), true);
  } else if (const auto* notice = std::get_if<Notice>(&message)) {
    constexpr std::array<std::string_view, 5> codes{"peer_drift", "peer_healed", "peer_revoked",
                                                    "peer_asks", "peer_acknowledged"};
    const auto kind = static_cast<std::size_t>(notice->kind) - 1;
    host_->tell({PairHost::Told::What::notice, {reason(codes.at(kind), notice->text)}, true});
    // Whatever has happened there, new evidence tells what it means.
    if (role() == Role::initiator) {
      next_run_ = clock_->boot();
    } else if (notice->kind != NoticeKind::again) {
      static_cast<void>(say(Notice{NoticeKind::again, "after a notice"}));
    }
  }
}

// The run is still on the stack.
void Pair::failed(Failed failure) {
  ++failed_runs_;
  const bool by_peer = failure.by == Failed::By::peer;
  const bool technical = std::ranges::all_of(failure.reasons, is_technical);
  if (!technical) {
    fail(std::move(failure.reasons), by_peer);
    return;
  }
  if (!grant_) {
    reasons_ = failure.reasons;
    by_peer_ = by_peer;
  }
  const Reason first = failure.reasons.front();
  host_->tell({PairHost::Told::What::trouble, std::move(failure.reasons), by_peer});
  close_channel(first, false);
  try_again_later();
}

void Pair::fail(std::vector<Reason> reasons, bool by_peer) {
  if (!failing_since_) failing_since_ = clock_->boot();
  reasons_ = reasons;
  by_peer_ = by_peer;
  host_->tell({PairHost::Told::What::denied, reasons, by_peer});
  if (!by_peer && channel_ && channel_->link.is_open())
    static_cast<void>(say(Deny{std::move(reasons)}));
  cut();
  try_again_later();
}

void Pair::cut() {
  grant_.reset();
  const bool stood = std::exchange(standing_, Standing::closed) != Standing::closed;
  if (stood) host_->stand(Standing::closed);
  host_->withdraw_keys();
  close_channel(reasons_.front(), true);
}

// In time for two that are lost. Of a silence of two seconds a third is less than one.
std::chrono::milliseconds Pair::sign_of_life() const {
  return std::chrono::milliseconds(terms_.silence) / 3;
}

void Pair::try_again_later() {
  if (role() != Role::initiator) return;
  next_run_ = clock_->boot() + delay_;
  delay_ = std::min(2 * delay_, last_delay);
}

void Pair::trouble(const std::string& code, const Error& why) {
  host_->tell({PairHost::Told::What::trouble, {reason(code, why.message())}});
}

// What stands follows from how bad it is by now.
void Pair::escalate() {
  if (!grant_) return;
  Standing wanted = Standing::granted;
  if (failing_since_) {
    const OnFailure by_now = consequence();
    if (by_now == OnFailure::cut) {
      std::vector<Reason> why = own_faults_.empty() ? borne_ : own_faults_;
      if (why.empty()) why = reasons_;
      if (why.empty()) why = {reason("grace_over", "the time in which it was borne is over")};
      fail(std::move(why), false);
      return;
    }
    wanted = by_now == OnFailure::report ? Standing::reported : Standing::restricted;
  }
  if (std::exchange(standing_, wanted) != wanted) host_->stand(wanted);
}

void Pair::set_own_faults(std::vector<Reason> faults) {
  const bool was_good = own_faults_.empty();
  own_faults_ = std::move(faults);
  if (own_faults_.empty()) {
    if (was_good) return;
    failing_since_.reset();
    escalate();
    if (channel_ && channel_->link.is_open())
      static_cast<void>(say(Notice{NoticeKind::healed, "what had drifted is as agreed again"}));
    if (role() == Role::initiator) next_run_ = clock_->boot();
    return;
  }
  if (!failing_since_) failing_since_ = clock_->boot();
  if (was_good && channel_ && channel_->link.is_open())
    static_cast<void>(say(Notice{NoticeKind::drift, own_faults_.front().text}));
  if (!grant_) {
    reasons_ = own_faults_;
    by_peer_ = false;
  }
  escalate();
}

Result<void> Pair::attest() {
  if (is_at_fault())
    return Error(ErrorKind::denied, "this gateway is not as agreed: " + own_faults_.front().text);
  if (role() == Role::initiator) {
    next_run_ = clock_->boot();
    return {};
  }
  return say(Notice{NoticeKind::again, "an operator asks for it"})
      .context("asking " + terms_.peer + ", which begins each attestation");
}

void Pair::deny(const Reason& why) {
  fail({why}, false);
}

std::optional<BootTime> Pair::deadline() const {
  std::optional<BootTime> first = next_run_;
  const auto or_at = [&first](std::optional<BootTime> time) {
    if (time && (!first || *time < *first)) first = time;
  };
  if (!closed_.empty()) or_at(clock_->boot());
  if (channel_) {
    or_at(channel_->run.deadline());
    const auto said = channel_->link.said();
    if (channel_->link.is_open()) or_at(said ? *said + sign_of_life() : clock_->boot());
  }
  if (grant_) {
    or_at(grant_->until);
    or_at(*heard_ + terms_.silence);
    if (!grant_->applied) or_at(grant_->at + applied_within);
  }
  if (failing_since_ && grant_ && terms_.grace.count() > 0) {
    const auto steps = (clock_->boot() - *failing_since_) / terms_.grace;
    or_at(*failing_since_ + (steps + 1) * terms_.grace);
  }
  return first;
}

void Pair::tick() {
  closed_.clear();
  const BootTime now = clock_->boot();
  if (channel_) channel_->run.tick();
  if (grant_ && !grant_->applied && now >= grant_->at + applied_within) {
    trouble("own_data_plane", Error(ErrorKind::timed_out, "nfq-signer does not take a key"));
    use_new_keys();
  }
  if (grant_ && now >= *heard_ + terms_.silence) {
    fail({reason("silent",
                 "nothing was heard of it for " + std::to_string(terms_.silence.count()) + " s")},
         false);
  } else if (grant_ && now >= grant_->until) {
    fail({reason("expired", "the attestation was not renewed in time")}, false);
  }
  escalate();
  if (channel_ && channel_->link.is_open()) {
    const auto said = channel_->link.said();
    if (!said || now >= *said + sign_of_life()) static_cast<void>(say(Alive{}));
  }
  if (!next_run_ || now < *next_run_) return;
  next_run_.reset();
  if (is_at_fault()) return;  // until it is mended
  if (!channel_) {
    if (calling_) trouble("unreachable", Error(ErrorKind::timed_out, "nobody has answered a call"));
    calling_ = true;
    next_run_ = now + most_call;
    host_->connect();
  } else if (channel_->run.state() == RunState::idle) {
    begin_run();
  }
}

Pair::View Pair::view() const {
  View view;
  view.standing = standing_;
  view.run = channel_ ? channel_->run.state() : RunState::idle;
  view.channel = channel_ != nullptr;
  if (grant_) {
    view.granted_at = grant_->at;
    view.until = grant_->until;
    view.proved = grant_->what.proved;
  }
  view.next_run = next_run_;
  view.heard = heard_;
  view.reasons = reasons_;
  view.by_peer = by_peer_;
  view.granted = granted_runs_;
  view.failed = failed_runs_;
  return view;
}

}  // namespace cs::keyms
