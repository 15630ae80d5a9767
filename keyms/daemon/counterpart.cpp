// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/counterpart.h"

#include <algorithm>
#include <utility>

#include "keyms/evidence/endorsement.h"
#include "keyms/session/key_schedule.h"
#include "tpm/evidence/attest.h"
#include "tpm/evidence/make_credential.h"
#include "tpm/evidence/name.h"

namespace cs::keyms {
namespace {

// The first of the two calls, if it is told where; else the second.
Role role_of(const HeldPolicy& policy) {
  const xfrm::End calls = policy.policy.gateways[1].keymsd ? xfrm::End::left : xfrm::End::right;
  return policy.end == calls ? Role::initiator : Role::responder;
}

Evidence evidence_of(std::string_view ne_id, const SessionHello& hello,
                     const EvidenceMessage& message) {
  Evidence out;
  out.ne_id = ne_id;
  out.attestation_key = hello.ak_public;
  out.endpoint = {hello.statement, hello.signature};
  out.quote = {message.quote.attest, message.quote.signature};
  out.values = message.values;
  if (const auto& index = message.event_register) {
    out.event_index = EventIndex{
        index->index, {index->certified.attest, index->certified.signature}, index->contents};
  }
  out.endorsement_key = message.endorsement_key;
  return out;
}

void add_statement(Evidence& out, const EvidenceStatement& statement,
                   const EvidenceMessage& message) {
  out.session_key = {
      statement.suite, statement.public_key, statement.not_after, statement.lifetime_ms, {}};
  if (const auto& key = message.signing_key) {
    out.session_key.resident =
        ShownKey::Resident{key->area, {key->certified.attest, key->certified.signature}};
  }
  out.spd = statement.measurement;
  out.wall_clock = statement.wall_clock;
}

ByteView of(const std::array<ByteView, log_count>& logs, Log log) {
  return logs.at(static_cast<std::size_t>(log));
}

// What the policy may bear with for a while: what the gateway does, not who it is.
bool is_of_state(Criterion criterion) {
  return criterion >= Criterion::drift_open && criterion <= Criterion::ima_file;
}

// For the peer as well: without what was expected and found, which `explain` tells here.
std::vector<Reason> reasons_of(const Appraisal& appraisal, bool of_state) {
  std::vector<Reason> out;
  for (const Criterion criterion : appraisal.refused()) {
    if (is_of_state(criterion) != of_state) continue;
    const CriterionText& text = text_of(criterion);
    out.push_back({std::string(text.code), as_text(text.wrong)});
  }
  return out;
}

Result<KeyScope> scope_of(const Granted& granted, const EvidenceStatement& statement,
                          const Bytes& quote, Role signer) {
  CS_TRY(const tpm::Attest attest, tpm::Attest::parse(quote));
  const auto* quoted = std::get_if<tpm::Attest::Quote>(&attest.attested);
  KeyScope out;
  out.session = granted.keys.session_id;
  if (quoted == nullptr || quoted->digest.size() != out.pcr_digest.size())
    return Error(ErrorKind::internal, "a quote that was judged has no digest");
  std::ranges::copy(quoted->digest, out.pcr_digest.begin());
  out.key = statement.key_id;
  out.direction = signer == Role::initiator ? 0 : 1;
  out.suite = static_cast<Suite>(statement.suite);
  return out;
}

KeyLimit limit_of(const EvidenceStatement& statement, BootTime now) {
  return {statement.not_after, now + std::chrono::milliseconds(statement.lifetime_ms)};
}

}  // namespace

Counterpart::Counterpart(const CounterpartTools& tools, HeldPolicy policy, std::uint32_t number,
                         std::optional<PeerMemory> memory)
    : tools_(tools),
      policy_(std::move(policy)),
      number_(number),
      role_(role_of(policy_)),
      memory_(std::move(memory)),
      pair_(*this, *tools_.clock, pair_terms()) {}

Counterpart::~Counterpart() = default;

PairTerms Counterpart::pair_terms() const {
  const CorePolicy& policy = policy_.policy;
  PairTerms out;
  out.role = role_;
  out.us = policy_.ours().ne_id;
  out.peer = name();
  out.core_properties = policy_.value;
  out.policy_version = policy.version;
  // A key must not end before the attestation that follows has brought the next one.
  out.interval =
      std::min(policy.attestation.interval, policy.signing.key_lifetime - policy.signing.overlap);
  out.overlap = policy.signing.overlap;
  out.silence = policy.attestation.silence;
  out.on_failure = policy.attestation.on_failure;
  out.grace = policy.attestation.grace;
  return out;
}

bool Counterpart::believes(const SessionHello& hello,
                           const std::optional<Hash>& peer_certificate) const {
  const Evidence shown = evidence_of(hello.from, hello, {});
  return hello.to == policy_.ours().ne_id && hello.core_properties == policy_.value &&
         appraise_hello(shown, expectations({}, peer_certificate)).failed(Severity::refuse).empty();
}

void Counterpart::channel_up(std::unique_ptr<PairChannel> channel) {
  channel_certificate_ = channel->peer_certificate();
  pair_.channel_up(std::move(channel));
}

void Counterpart::set_faults(std::vector<Reason> faults) {
  if (faults == faults_) return;
  faults_ = faults;
  pair_.set_own_faults(std::move(faults));
}

void Counterpart::hold(const std::string& why) {
  held_ = as_text(why);
  pair_.deny({"operator", *held_});
}

std::uint64_t Counterpart::acknowledge() {
  if (!memory_) return 0;
  PeerMemory memory = *memory_;
  memory.acknowledged = memory.event_log.records;
  remember(memory);
  static_cast<void>(
      pair_.say(Notice{NoticeKind::acknowledged, "an operator has acknowledged what had drifted"}));
  return memory.acknowledged;
}

void Counterpart::remember(const PeerMemory& memory) {
  if (memory_ == memory) return;
  memory_ = memory;
  auto bytes = memory.encode();
  if (!bytes.ok()) return;
  tools_.desk->ask(
      tpm::Priority::background,
      [machine = tools_.machine, peer = name(), bytes = std::move(*bytes)](tpm::Device& device) {
        return machine->keep_memory(device, peer, bytes);
      },
      // While this gateway has drifted its store is closed: it is kept in this process alone then.
      [](const Result<void>& /*kept*/) {});
}

Result<PairHost::Endpoint> Counterpart::endpoint(const std::optional<Hash>& certificate) {
  if (held_) {
    return Error(ErrorKind::denied, "an operator has denied it: " + *held_)
        .with_hint("to begin anew: countersign attest " + name());
  }
  return tools_.endpoint->of(certificate);
}

Expectations Counterpart::expectations(const Hash& qualifying,
                                       const std::optional<Hash>& certificate) const {
  return {.policy = policy_.policy,
          .core_properties = policy_.value,
          .of = other(policy_.end),
          .qualifying = qualifying,
          .channel_certificate = certificate,
          .roots = tools_.trust->roots(),
          .lists = tools_.trust->lists(),
          .clock = *tools_.clock};
}

bool Counterpart::wants_proof() {
  return keyms::wants_proof(expectations({}), memory_ ? &*memory_ : nullptr);
}

std::vector<Reason> Counterpart::judge_hello(const SessionHello& hello) {
  const BootTime now = tools_.clock->boot();
  if (hello.role == Role::initiator) {
    while (!begun_.empty() && now - begun_.front() > std::chrono::minutes(1)) begun_.pop_front();
    if (begun_.size() >= Pair::runs_in_a_minute(pair_terms().interval) + spare_runs)
      return {{"too_often", "more attestations were begun than one minute may have"}};
    begun_.push_back(now);
  }
  const Evidence shown = evidence_of(hello.from, hello, {});
  const Appraisal found = appraise_hello(shown, expectations({}));
  std::vector<Reason> out;
  for (const Criterion criterion : found.failed(Severity::refuse)) {
    const CriterionText& text = text_of(criterion);
    out.push_back({std::string(text.code), as_text(text.wrong)});
  }
  if (!out.empty()) judged_ = Judged{found, tools_.clock->wall()};
  return out;
}

void Counterpart::show(const ShowRequest& request) {
  std::optional<Error> refused;
  if (!*tools_.measured) {
    refused = Error(ErrorKind::busy, "the kernel's IPsec was not measured yet");
  } else if (tools_.signer->has_key(request.key_id, Table::outbound)) {
    refused = Error(ErrorKind::exists, "the peer has chosen a key id that another one has");
  }
  Machine::ShowTerms terms{policy_.ours(), policy_.policy.signing, name(), request,
                           tools_.measured->value_or(Hash{})};
  tools_.desk->ask(
      tpm::Priority::quote,
      [machine = tools_.machine, refused,
       terms = std::move(terms)](tpm::Device& device) -> Result<Machine::Shown> {
        if (refused) return *refused;
        return machine->show(device, terms);
      },
      // What an earlier run had asked for is of no use to the one that is.
      while_alive([this, number = ++asked_](Result<Machine::Shown> result) {
        if (number == asked_) shown(std::move(result));
      }));
}

void Counterpart::shown(Result<Machine::Shown> shown) {
  trouble_.reset();
  if (!shown.ok()) {
    trouble_ = shown.error().message();
    tools_.events->tell({EventKind::trouble, name(), "own_evidence", shown.error().message()});
    // What is wrong with this gateway in detail is not the peer's to know.
    pair_.quoted(Error(shown.error().kind(), "this gateway cannot show evidence now"));
    return;
  }
  logs_ = std::move(shown->logs);
  resident_ = std::move(shown->resident);
  pair_.quoted(std::move(shown->message));
}

Result<Bytes> Counterpart::read_log(Log log, std::uint64_t offset, std::size_t length) {
  const Bytes& bytes = logs_.at(static_cast<std::size_t>(log));
  if (offset > bytes.size() || length > bytes.size() - offset)
    return Error(ErrorKind::limit, "that is beyond the log's end");
  const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(offset);
  return Bytes(from, from + static_cast<std::ptrdiff_t>(length));
}

Result<std::vector<Wanted>> Counterpart::wanted(const EvidenceMessage& evidence) {
  std::vector<Wanted> out;
  for (std::size_t i = 0; i < log_count; ++i) {
    const Log log{static_cast<std::uint8_t>(i)};
    const std::uint64_t size = evidence.sizes.at(i);
    std::uint64_t offset = 0;
    if (log == Log::ima) {
      if (!policy_.peer().ima) continue;
      Evidence shown;
      shown.quote = {evidence.quote.attest, evidence.quote.signature};
      offset = wanted_ima_offset(shown, expectations({}), memory_ ? &*memory_ : nullptr);
    }
    out.push_back({log, offset, size > offset ? size - offset : 0});
  }
  return out;
}

PairHost::Judgement Counterpart::judge(const PeerShown& shown) {
  Evidence evidence = evidence_of(shown.hello.from, shown.hello, shown.evidence);
  add_statement(evidence, shown.statement, shown.evidence);
  evidence.logs = {
      of(shown.logs, Log::boot),   of(shown.logs, Log::statics),
      of(shown.logs, Log::events), shown.pulled.at(static_cast<std::size_t>(Log::ima)).offset,
      of(shown.logs, Log::ima),    of(shown.logs, Log::endorsement)};
  judged_ =
      Judged{appraise(evidence, expectations(shown.qualifying), memory_ ? &*memory_ : nullptr),
             tools_.clock->wall()};
  const Appraisal& found = judged_->appraisal;
  if (found.memory) remember(*found.memory);
  proof_missing_ = found.only_proof_missing() && !shown.evidence.endorsement_key.empty();
  if (found.granted() || proof_missing_) return {};
  return {reasons_of(found, false), reasons_of(found, true)};
}

Result<RunHost::Challenge> Counterpart::challenge(const EvidenceMessage& evidence,
                                                  const SessionHello& hello) {
  CS_TRY(const tpm::PublicArea endorsement, tpm::PublicArea::parse(evidence.endorsement_key));
  CS_TRY(const tpm::PublicArea attestation, tpm::PublicArea::parse(hello.ak_public));
  CS_TRY(const Nonce drawn, draw_nonce());
  CS_TRY(SecretBytes secret, SecretBytes::copy_of(drawn));
  CS_TRY(tpm::Credential made,
         tpm::make_credential(endorsement, tpm::name_of(attestation), secret));
  return RunHost::Challenge{{std::move(made.id_object), std::move(made.encrypted_secret)},
                            std::move(secret)};
}

void Counterpart::activate(const CredentialFor& credential) {
  tools_.desk->ask(
      tpm::Priority::quote,
      [machine = tools_.machine, credential](tpm::Device& device) {
        return machine->activate(device, credential);
      },
      while_alive([this, number = asked_](Result<SecretBytes> secret) {
        if (number == asked_) pair_.activated(std::move(secret));
      }));
}

void Counterpart::connect() {
  if (*tools_.carriers && !held_) (*tools_.carriers)->connect(name(), policy_.peer().keymsd);
}

Result<bool> Counterpart::add_inbound(const Granted& granted) {
  if (granted.proved && judged_) {
    judged_->appraisal.activated();
    if (judged_->appraisal.memory) remember(*judged_->appraisal.memory);
  } else if (proof_missing_) {
    return Error(ErrorKind::unverified, "the proof of its TPM was not asked for");
  }
  const Role signer = other(granted.role);
  CS_TRY(const KeyScope scope, scope_of(granted, granted.theirs, granted.their_quote, signer));
  CS_TRY(SecretBytes gate, SecretBytes::copy_of(granted.keys.gate.at(index(signer)).bytes()));
  CS_CHECK(tools_.signer->add(
      SignerService::Inbound{number_,
                             scope,
                             std::move(gate),
                             {granted.theirs.first_lane, granted.theirs.last_lane},
                             limit_of(granted.theirs, tools_.clock->boot()),
                             granted.theirs.public_key}));
  keep({granted.theirs.key_id, Table::inbound, static_cast<Suite>(granted.theirs.suite), false,
        granted.theirs.not_after});
  return tools_.signer->is_connected();
}

Result<void> Counterpart::add_outbound(const Granted& granted) {
  CS_TRY(const KeyScope scope, scope_of(granted, granted.ours, granted.our_quote, granted.role));
  CS_TRY(SecretBytes gate, SecretBytes::copy_of(granted.keys.gate.at(index(granted.role)).bytes()));
  const bool resident = policy_.policy.signing.mode == SigningMode::tpm;
  StatementSigner::Open open;
  if (resident) {
    if (!resident_ || tools_.root_signer == nullptr)
      return Error(ErrorKind::internal, "the key that the TPM keeps has gone");
    open = tools_.root_signer->opener(resident_->blobs, resident_->policy, resident_->owner);
  }
  CS_CHECK(
      tools_.signer->add(SignerService::Outbound{number_,
                                                 scope,
                                                 std::move(gate),
                                                 {granted.ours.first_lane, granted.ours.last_lane},
                                                 limit_of(granted.ours, tools_.clock->boot()),
                                                 std::move(open),
                                                 granted.ours.public_key}));
  keep({granted.ours.key_id, Table::outbound, scope.suite, resident, granted.ours.not_after});
  return {};
}

void Counterpart::keep(const Key& key) {
  std::erase_if(keys_,
                [this](const Key& one) { return !tools_.signer->has_key(one.id, one.table); });
  keys_.push_back(key);
}

std::vector<Counterpart::Key> Counterpart::keys() const {
  std::vector<Key> out;
  std::ranges::copy_if(keys_, std::back_inserter(out), [this](const Key& one) {
    return tools_.signer->has_key(one.id, one.table);
  });
  return out;
}

void Counterpart::drop_stored(std::uint32_t key) const {
  tools_.desk->ask(
      tpm::Priority::background,
      [machine = tools_.machine, key](tpm::Device& device) {
        return machine->drop_key(device, key);
      },
      // It ends by its certificate in any case.
      [](const Result<void>& /*dropped*/) {});
}

void Counterpart::retire_keys(BootTime until) {
  tools_.signer->limit(number_, until);
}

void Counterpart::withdraw_keys() {
  for (const Key& key : std::exchange(keys_, {})) {
    tools_.signer->remove(key.id, key.table);
    if (key.table == Table::outbound && !key.resident) drop_stored(key.id);
  }
}

void Counterpart::lost_key(std::uint32_t key, Table table) {
  std::erase_if(keys_, [&](const Key& one) { return one.id == key && one.table == table; });
}

void Counterpart::begin_sas(const Hash& session_id, Role role) {
  if (*tools_.kernel) (*tools_.kernel)->begin_sas(name(), session_id, role);
}
void Counterpart::on_sas(const Sas& sas) {
  if (*tools_.kernel) (*tools_.kernel)->on_sas(name(), sas);
}
void Counterpart::on_sas_gone(const SasGone& gone) {
  if (*tools_.kernel) (*tools_.kernel)->on_sas_gone(name(), gone);
}
void Counterpart::stand(Standing standing) {
  if (*tools_.kernel) (*tools_.kernel)->stand(name(), standing);
}

void Counterpart::tell(const Told& told) {
  constexpr std::array kinds{EventKind::granted, EventKind::key, EventKind::denied,
                             EventKind::notice, EventKind::attempt};
  Event event{kinds.at(static_cast<std::size_t>(told.what)), name(), "", ""};
  if (told.what == Told::What::granted) event.text = "it has attested: traffic may pass";
  if (told.what == Told::What::renewed) event.text = "it has attested anew, with new keys";
  for (const Reason& reason : told.reasons) {
    if (event.reason.empty()) event.reason = reason.code;
    event.text += (event.text.empty() ? "" : "; ") + reason.text;
  }
  if (told.by_peer) event.text += " (as it says)";
  if (told.what == Told::What::denied && !told.by_peer)
    event.text += "; countersign explain " + name() + " tells more";
  tools_.events->tell(std::move(event));
}

}  // namespace cs::keyms
