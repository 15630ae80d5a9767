// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/machine.h"

#include <algorithm>
#include <utility>

#include "keyms/daemon/machine_notes.h"
#include "keyms/daemon/session_key.h"
#include "keyms/evidence/registers.h"
#include "keyms/policy/words.h"
#include "keyms/session/key_schedule.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/evidence/name.h"
#include "tpm/logs/boot_log.h"
#include "tpm/small_file.h"

namespace cs::keyms {
namespace {

constexpr std::size_t max_auth_file = 128;
// As many as nfq-signer remembers of a key.
constexpr std::uint16_t last_lane = 15;

// An auth value from a file: its first line.
Result<tpm::Auth> read_auth(const std::string& path) {
  if (path.empty()) return tpm::Auth();
  CS_TRY(auto bytes, tpm::read_small_file(path, max_auth_file));
  const auto end = std::ranges::find(bytes, '\n');
  auto copied = SecretBytes::copy_of(ByteView(bytes.begin(), end));
  explicit_bzero(bytes.data(), bytes.size());
  if (!copied.ok()) return std::move(copied).error().context("reading " + path);
  return tpm::Auth(std::make_shared<const SecretBytes>(std::move(copied).value()));
}

// As sealing_state() makes it.
tpm::PcrSelection with_static(tpm::PcrSelection selection, std::uint32_t pcr) {
  const auto bank = std::ranges::find(selection.banks, tpm::HashAlgorithm::sha256,
                                      &tpm::PcrSelection::Bank::algorithm);
  if (bank == selection.banks.end()) {
    selection.banks.push_back({tpm::HashAlgorithm::sha256, 1U << pcr});
  } else {
    bank->registers |= 1U << pcr;
  }
  return selection;
}

}  // namespace

Machine::Machine(Options options)
    : options_(std::move(options)),
      srk_(tpm::storage_root_key()),
      session_(tpm::storage_root_key()) {}

Result<std::unique_ptr<Machine>> Machine::open_locked(tpm::Device& device, const Options& options) {
  std::unique_ptr<Machine> made(new Machine(options));
  CS_CHECK(made->begin(device));
  return made;
}

Result<std::unique_ptr<Machine>> Machine::open(tpm::Device& device, const Options& options) {
  CS_TRY(auto made, open_locked(device, options));
  CS_CHECK(made->complete(device));
  return made;
}

Result<void> Machine::read_secrets() {
  CS_TRY(owner_, read_auth(options_.config.owner_auth));
  CS_TRY(endorsement_, read_auth(options_.config.endorsement_auth));
  srk_ = tpm::storage_root_key(owner_);
  session_ = tpm::SaltedSession(tpm::storage_root_key(owner_));
  return {};
}

RegisterOptions Machine::register_options() {
  const DaemonConfig& config = options_.config;
  RegisterOptions out;
  out.static_pcr = config.static_pcr;
  out.events = config.event_register;
  out.resettable = config.resettable;
  out.index_auth = event_index_;
  out.session = &session_;
  out.explained_static = config.explained_static;
  out.explained_events = config.explained_events;
  out.place.directory = config.logs();
  return out;
}

InForce Machine::in_force() const {
  InForce out;
  for (const tpm::Digest& digest : store_->clear().core_properties)
    out.policies.insert(to_hash(digest));
  out.configuration = options_.configuration;
  return out;
}

// The registers come first: without them the store does not open.
Result<void> Machine::begin(tpm::Device& device) {
  CS_CHECK(read_secrets());
  if (options_.config.has_event_index()) {
    CS_TRY(event_index_, read_auth(options_.config.event_index_auth()));
  }
  CS_TRY(store_, Store::open({options_.config.store(), owner_, options_.clock}));
  ne_id_ = store_->clear().ne_id;
  CS_CHECK(know_approver(device));
  CS_TRY(registers_, Registers::open(device, register_options(), in_force()));
  return {};
}

UnlockTerms Machine::unlock_terms() const {
  UnlockTerms terms;
  terms.registers = with_static(options_.config.boot_registers, options_.config.static_pcr);
  terms.approved = approved_;
  return terms;
}

// Once more where it is refused, with the logs: so that it says since which event.
Result<Unlocked> Machine::unlock(tpm::Device& device) {
  auto opened = store_->unlock(device, srk_, unlock_terms());
  if (opened.ok() || opened.error().kind() != ErrorKind::denied) return opened;
  UnlockTerms terms = unlock_terms();
  const auto boot = tpm::read_file_from(options_.config.boot_log, 0, tpm::most_boot_log);
  const auto own = registers_ ? registers_->static_log() : Bytes();
  if (boot.ok()) terms.logs.boot = *boot;
  if (own.ok()) terms.logs.own = *own;
  opened = store_->unlock(device, srk_, terms);
  if (opened.ok() || opened.error().kind() != ErrorKind::denied) return opened;
  return std::move(opened).error().with_hint(
      "reboot, if this boot has drifted; countersign recover tells what else there is");
}

Result<void> Machine::try_unlock(tpm::Device& device) {
  if (!attestation_key_) return complete(device);
  CS_TRY([[maybe_unused]] const Unlocked unlocked, unlock(device));
  return {};
}

Result<void> Machine::complete(tpm::Device& device) {
  CS_TRY(Unlocked unlocked, unlock(device));
  const InForce wanted = in_force_of(unlocked.book());
  registers_.reset();
  CS_TRY(registers_, Registers::open(device, register_options(), wanted));
  CS_CHECK(extend_in_force(device));
  CS_TRY(const auto states, sealed_to(device, wanted));
  CS_TRY(const bool same, is_sealed_to(states));
  // A configuration that was edited is in the register from the next start on: so that the store
  // opens then, too.
  if (!same) CS_CHECK(seal_to(device, unlocked, unlocked.book(), states));
  CS_CHECK(retire_approvals(device, unlocked));
  CS_TRY(const tpm::Unsealed auth, unlocked.get({RowKind::note, ak_auth}));
  CS_TRY(SecretBytes secret, SecretBytes::copy_of(auth.bytes()));
  tpm::AttestationKey::Options key;
  key.auth = std::make_shared<const SecretBytes>(std::move(secret));
  key.endorsement = endorsement_;
  attestation_key_.emplace(store_->clear().attestation_key, key, session_);
  return {};
}

// What an apply that was killed has left out.
Result<void> Machine::extend_in_force(tpm::Device& device) {
  if (!registers_->static_story().configuration()) return {};
  for (const Hash& value : in_force().policies) CS_CHECK(registers_->apply(device, value));
  return {};
}

Result<tpm::AttestationKey*> Machine::attestation_key() {
  if (attestation_key_) return &*attestation_key_;
  return Error(ErrorKind::closed, "the store is locked, and the attestation key's auth value in it")
      .with_hint("countersign status says why");
}

Result<Machine::Facts> Machine::facts(tpm::Device& device) {
  CS_TRY(const Unlocked unlocked, unlock(device));
  Facts out;
  out.ne_id = ne_id_;
  const Clear& clear = store_->clear();
  const ByteView area = tpm::without_size(clear.attestation_key.public_part);
  out.ak_public.assign(area.begin(), area.end());
  CS_TRY(const tpm::PublicArea parsed, tpm::PublicArea::parse(area));
  out.attestation_key = tpm::name_of(parsed);
  for (const KeptPolicy& kept : unlocked.book().policies()) {
    if (kept.state == PolicyState::retired) continue;
    CS_TRY(HeldPolicy held, read_policy(kept));
    out.policies.push_back(std::move(held));
  }
  CS_TRY(const auto peers, unlocked.names(RowKind::peer_memory));
  for (const std::string& peer : peers) {
    CS_TRY(const tpm::Unsealed memory, unlocked.get({RowKind::peer_memory, peer}));
    out.memories.emplace(peer, Bytes(memory.bytes().begin(), memory.bytes().end()));
  }
  out.reset_count = registers_->reset_count();
  if (const auto like = registers_->as_wanted(); !like.ok()) out.unlike = like.error().message();
  return out;
}

Result<Signed> Machine::endpoint_valid(tpm::Device& device, const EndpointStatement& statement) {
  CS_TRY(tpm::AttestationKey* const key, attestation_key());
  CS_CHECK(registers_->certificate_valid(device, statement.certificate));
  return sign_endpoint(device, *key, statement);
}

Result<void> Machine::revoke_others(tpm::Device& device, const std::set<Hash>& but) {
  const RegisterStory::Certificates valid = registers_->event_story().valid();
  for (const auto& [certificate, record] : valid) {
    if (!but.contains(certificate)) CS_CHECK(registers_->certificate_revoked(device, certificate));
  }
  return {};
}

namespace {

EvidenceStatement statement_for(const Machine::ShowTerms& terms, const Clock& clock) {
  const auto now = static_cast<std::uint64_t>(std::max<std::time_t>(to_time_t(clock.wall()), 0));
  EvidenceStatement out;
  out.suite = static_cast<std::uint8_t>(terms.signing.suite);
  out.key_id = terms.request.key_id;
  out.not_after = now + static_cast<std::uint64_t>(terms.signing.key_lifetime.count());
  out.lifetime_ms =
      static_cast<std::uint32_t>(std::chrono::milliseconds(terms.signing.key_lifetime).count());
  out.last_lane = last_lane;
  out.measurement = terms.measured;
  out.wall_clock = now;
  return out;
}

KeyCertificate certificate_for(const Machine::ShowTerms& terms,
                               const EvidenceStatement& statement) {
  return {statement.key_id,     terms.peer,           terms.signing.suite,
          statement.public_key, statement.wall_clock, statement.not_after};
}

}  // namespace

// The store opens for it only while the machine is in a state it was sealed to: so a gateway that
// has drifted makes no more keys.
Result<void> Machine::keep_session_key(tpm::Device& device, const ShowTerms& terms,
                                       EvidenceStatement& statement) {
  CS_TRY(MadeKey made, make_session_key(terms.signing.suite));
  statement.public_key = std::move(made.public_key);
  CS_TRY(Unlocked unlocked, unlock(device));
  return unlocked.keep_key(certificate_for(terms, statement), made.private_part);
}

Result<ResidentKey> Machine::make_resident_key(tpm::Device& device, const ShowTerms& terms,
                                               EvidenceStatement& statement) {
  ResidentKey out;
  out.owner = owner_;
  out.policy.selection = signing_registers(terms.gateway);
  CS_TRY(const tpm::PcrValues values, tpm::read_pcrs(device, out.policy.selection));
  CS_TRY(out.policy.composite, values.composite(out.policy.selection, tpm::HashAlgorithm::sha256));
  // Without a resource manager a TPM has three slots, and this takes two.
  CS_TRY(tpm::AttestationKey* const ak, attestation_key());
  ak->object().unload();
  srk_.unload();
  CS_TRY(out.blobs, tpm::SigningKey::create(device, session_, out.policy, owner_));
  CS_TRY(const auto key, tpm::SigningKey::public_key(out.blobs));
  statement.public_key.assign(key.begin(), key.end());
  return out;
}

Result<const ShownEndorsement*> Machine::endorsement(tpm::Device& device) {
  if (!endorsement_shown_) {
    CS_TRY(endorsement_shown_, read_endorsement(device, endorsement_));
  }
  return &*endorsement_shown_;
}

Result<void> Machine::add_endorsement(tpm::Device& device, Shown& shown) {
  const auto read = endorsement(device);
  // Without one the verifier says what it thinks of that.
  if (!read.ok() && read.error().kind() == ErrorKind::not_found) return {};
  if (!read.ok()) return read.error();
  shown.message.endorsement_key = (*read)->key;
  shown.logs[static_cast<std::size_t>(Log::endorsement)] = (*read)->certificates;
  return {};
}

Result<Machine::Shown> Machine::show(tpm::Device& device, const ShowTerms& terms) {
  if (registers_->own_static_log() == nullptr || registers_->own_event_log() == nullptr) {
    return Error(ErrorKind::unverified, "this gateway's own registers cannot be vouched for")
        .with_hint("countersign log says why");
  }
  Shown shown;
  shown.statement = statement_for(terms, *options_.clock);
  CS_TRY(tpm::AttestationKey* const ak, attestation_key());
  Sources sources{terms.gateway, *ak, *registers_->own_static_log(), *registers_->own_event_log()};
  sources.event_index_auth = event_index_;
  std::optional<tpm::SigningKey> resident;
  if (terms.signing.mode == SigningMode::tpm) {
    CS_TRY(shown.resident, make_resident_key(device, terms, shown.statement));
    resident.emplace(shown.resident->blobs, shown.resident->policy, owner_);
    sources.session_key = &*resident;
    sources.session_key_area = shown.resident->blobs.public_part;
  } else {
    CS_CHECK(keep_session_key(device, terms, shown.statement));
  }
  sources.boot_log = options_.config.boot_log;
  CS_TRY(shown.message.statement, encode(shown.statement));
  CS_TRY(Collected all,
         collect(device, sources, qualifying_data(terms.request.context, shown.message.statement)));
  shown.message.quote = {std::move(all.quote.bytes), std::move(all.quote.signature)};
  shown.message.values = std::move(all.values);
  if (all.event_index) {
    shown.message.event_register = NvEvidence{std::move(all.event_index->area),
                                              {std::move(all.event_index->certified.bytes),
                                               std::move(all.event_index->certified.signature)},
                                              std::move(all.event_index->contents)};
  }
  if (all.session_key) {
    shown.message.signing_key = KeyEvidence{std::move(all.session_key->area),
                                            {std::move(all.session_key->certified.bytes),
                                             std::move(all.session_key->certified.signature)}};
  }
  const auto log = [&shown](Log which) -> Bytes& {
    return shown.logs.at(static_cast<std::size_t>(which));
  };
  log(Log::boot) = std::move(all.boot);
  log(Log::statics) = std::move(all.static_log);
  log(Log::events) = std::move(all.event_log);
  if (terms.gateway.ima) {
    CS_TRY(log(Log::ima), read_ima_list(options_.config.ima_log, 0));
  }
  if (terms.request.endorsement) CS_CHECK(add_endorsement(device, shown));
  for (std::size_t i = 0; i < log_count; ++i) shown.message.sizes.at(i) = shown.logs.at(i).size();
  return shown;
}

Result<SecretBytes> Machine::activate(tpm::Device& device, const CredentialFor& credential) {
  CS_TRY(const ShownEndorsement* const shown, endorsement(device));
  CS_TRY(tpm::AttestationKey* const ak, attestation_key());
  tpm::VolatileObject key = tpm::endorsement_key(shown->type, endorsement_);
  return ak->activate(device, key, credential.id_object, credential.encrypted_secret);
}

Result<SecretBytes> Machine::fetch_key(tpm::Device& device, std::uint32_t key) {
  CS_TRY(FetchedKey fetched, store_->fetch_key(device, srk_, unlock_terms(), key));
  if (fetched.private_part) return std::move(*fetched.private_part);
  return Error(ErrorKind::timed_out,
               "the certificate of session key " + std::to_string(key) + " does not hold now");
}

Result<void> Machine::drop_key(tpm::Device& device, std::uint32_t key) {
  CS_TRY(Unlocked unlocked, unlock(device));
  return unlocked.drop_key(key);
}

Result<void> Machine::drop_all_keys(tpm::Device& device) {
  CS_TRY(Unlocked unlocked, unlock(device));
  return unlocked.drop_keys();
}

Result<void> Machine::keep_memory(tpm::Device& device, const std::string& peer,
                                  const Bytes& memory) {
  CS_TRY(Unlocked unlocked, unlock(device));
  return unlocked.keep({RowKind::peer_memory, peer}, memory);
}

namespace {

Result<RowName> note_name(std::string_view name) {
  if (std::ranges::find(own_notes, name) == own_notes.end()) return RowName{RowKind::note, name};
  return Error(ErrorKind::invalid, "the note '" + std::string(name) + "' is the machine's own");
}

}  // namespace

Result<std::optional<Bytes>> Machine::note(tpm::Device& device, const std::string& name) {
  CS_TRY(const RowName row, note_name(name));
  CS_TRY(const Unlocked unlocked, unlock(device));
  return read_note(unlocked, row.name);
}

Result<void> Machine::keep_note(tpm::Device& device, const std::string& name, const Bytes& value) {
  CS_TRY(const RowName row, note_name(name));
  CS_TRY(Unlocked unlocked, unlock(device));
  return unlocked.keep(row, value);
}

Result<void> Machine::found(tpm::Device& device, const std::set<xfrm::Difference>& all,
                            const std::set<xfrm::Difference>& awaited) {
  return registers_->found(device, all, awaited);
}

Result<void> Machine::measured(tpm::Device& device, const Hash& policies) {
  return registers_->measured(device, policies);
}

Result<void> Machine::reopen(tpm::Device& device) {
  CS_CHECK(registers_->reopen(device));
  return attestation_key_ ? extend_in_force(device) : Result<void>();
}

Result<std::vector<Bytes>> Machine::logs() const {
  CS_TRY(Bytes statics, registers_->static_log());
  CS_TRY(Bytes events, registers_->event_log());
  return std::vector<Bytes>{std::move(statics), std::move(events)};
}

namespace {

std::string text_of(const tpm::CelRegister& of) {
  if (of.kind == tpm::CelRegister::Kind::pcr) return "PCR " + std::to_string(of.number);
  return "NV index " + text(of).substr(std::string_view("nv:").size());
}

}  // namespace

Result<LogView> Machine::log_view(tpm::Device& device, StoryOf of) const {
  const bool is_static = of == StoryOf::static_register;
  LogView view;
  view.name = is_static ? "static" : "event";
  const tpm::OwnLog* const own =
      is_static ? registers_->own_static_log() : registers_->own_event_log();
  view.reg = is_static ? "PCR " + std::to_string(options_.config.static_pcr)
                       : text_of(options_.config.event_register);
  CS_TRY(const auto values, registers_->values(device, of));
  const auto value = std::ranges::find(values, tpm::HashAlgorithm::sha256, &tpm::Digest::algorithm);
  if (value != values.end()) view.value = value->hex();
  auto log = is_static ? registers_->static_log() : registers_->event_log();
  if (log.ok()) view.log = *std::move(log);
  view.agrees = own != nullptr && own->values() == values;
  const auto wanted = is_static ? registers_->as_wanted() : Result<void>();
  if (own == nullptr) {
    view.why = "its log could not be opened";
  } else if (!view.agrees) {
    view.why = "somebody else has extended it: only a reboot helps";
  } else if (!wanted.ok()) {
    view.why = wanted.error().message();
  }
  return view;
}

Result<std::vector<LogView>> Machine::log_view(tpm::Device& device) const {
  CS_TRY(LogView statics, log_view(device, StoryOf::static_register));
  CS_TRY(LogView events, log_view(device, StoryOf::event_register));
  return std::vector<LogView>{std::move(statics), std::move(events)};
}

}  // namespace cs::keyms
