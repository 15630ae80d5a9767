// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/machine.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "keyms/daemon/session_key.h"
#include "keyms/evidence/registers.h"
#include "keyms/measure/predict.h"
#include "keyms/policy/difference.h"
#include "keyms/policy/encode.h"
#include "keyms/session/key_schedule.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/evidence/name.h"
#include "tpm/seal/counter_area.h"
#include "tpm/seal/nv_counter.h"
#include "tpm/small_file.h"

namespace cs::keyms {
namespace {

constexpr std::string_view ak_auth = "attestation-key-auth";
constexpr std::size_t auth_size = 32;
constexpr std::size_t max_auth_file = 128;
constexpr std::uint16_t last_lane = 1023;
constexpr std::uint32_t store_counter = tpm::first_counter_index;

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

tpm::PcrSelection with_static(tpm::PcrSelection selection, std::uint32_t pcr) {
  for (auto& bank : selection.banks) {
    if (bank.algorithm == tpm::HashAlgorithm::sha256) bank.registers |= 1U << pcr;
  }
  return selection;
}

Hash hash_of(const tpm::Digest& digest) {
  Hash out{};
  std::ranges::copy(digest.bytes(), out.begin());
  return out;
}

Result<tpm::Digest> digest_of(const Hash& hash) {
  return tpm::Digest::from(tpm::HashAlgorithm::sha256, hash);
}

RegisterOptions register_options(const DaemonConfig& config) {
  RegisterOptions out;
  out.static_pcr = config.static_pcr;
  out.events = config.event_register;
  out.resettable = config.resettable;
  out.explained_static = config.explained_static;
  out.explained_events = config.explained_events;
  out.place.directory = config.logs();
  return out;
}

}  // namespace

Machine::Machine(Options options)
    : options_(std::move(options)),
      srk_(tpm::storage_root_key()),
      session_(tpm::storage_root_key()) {}

Result<std::unique_ptr<Machine>> Machine::open(tpm::Device& device, const Options& options) {
  std::unique_ptr<Machine> made(new Machine(options));
  CS_CHECK(made->start(device));
  return made;
}

UnlockTerms Machine::unlock_terms() const {
  UnlockTerms terms;
  terms.registers = with_static(options_.config.boot_registers, options_.config.static_pcr);
  return terms;
}

Result<Unlocked> Machine::unlock(tpm::Device& device) {
  return store_->unlock(device, srk_, unlock_terms());
}

InForce Machine::in_force() const {
  InForce out;
  for (const tpm::Digest& digest : store_->clear().core_properties)
    out.policies.insert(hash_of(digest));
  out.configuration = options_.configuration;
  return out;
}

// The registers come first: without them the store does not open.
Result<void> Machine::start(tpm::Device& device) {
  const DaemonConfig& config = options_.config;
  CS_TRY(owner_, read_auth(config.owner_auth));
  CS_TRY(endorsement_, read_auth(config.endorsement_auth));
  srk_ = tpm::storage_root_key(owner_);
  session_ = tpm::SaltedSession(tpm::storage_root_key(owner_));
  CS_TRY(store_, Store::open({config.store(), owner_, options_.clock}));
  ne_id_ = store_->clear().ne_id;
  InForce wanted = in_force();
  CS_TRY(registers_, Registers::open(device, register_options(config), wanted));
  CS_TRY(Unlocked unlocked, unlock(device));
  for (const KeptPolicy& kept : unlocked.book().policies()) {
    if (kept.state == PolicyState::retired) wanted.retired.insert(hash_of(kept.core_properties));
  }
  registers_.reset();
  CS_TRY(registers_, Registers::open(device, register_options(config), wanted));
  CS_TRY(const tpm::Unsealed auth, unlocked.get({RowKind::note, ak_auth}));
  CS_TRY(SecretBytes secret, SecretBytes::copy_of(auth.bytes()));
  tpm::AttestationKey::Options key;
  key.auth = std::make_shared<const SecretBytes>(std::move(secret));
  key.endorsement = endorsement_;
  attestation_key_.emplace(store_->clear().attestation_key, key, session_);
  // A configuration that was edited is in the register from the next start on: so that the store
  // opens then, too.
  CS_TRY(const auto states, sealed_to(device, wanted));
  CS_TRY(const auto now, store_->sealed_to());
  const bool same = std::ranges::all_of(states, [&](const tpm::SealPolicy& state) {
    return std::ranges::any_of(
        now, [&](const tpm::SealPolicy& one) { return one.digest() == state.digest(); });
  });
  if (same) return {};
  Contents contents{store_->clear(), unlocked.book(), states};
  CS_TRY(contents.clear.configuration, digest_of(options_.configuration));
  CS_CHECK(unlocked.write(device, srk_, std::move(contents)));
  CS_TRY(Unlocked again, unlock(device));
  return again.keep({RowKind::note, ak_auth}, key.auth->bytes());
}

// As the machine is now, and as it will be at the next start with this in force.
Result<std::vector<tpm::SealPolicy>> Machine::sealed_to(tpm::Device& device,
                                                        const InForce& next) const {
  const DaemonConfig& config = options_.config;
  CS_TRY(const tpm::PcrValues values, tpm::read_pcrs(device, config.boot_registers));
  CS_TRY(const tpm::PcrState boot, tpm::PcrState::of(config.boot_registers, values));
  CS_TRY(const Bytes log, registers_->static_log());
  CS_TRY(const tpm::PcrState now, sealing_state(boot, config.static_pcr, log));
  CS_TRY(const Bytes at_start,
         log_of_start({config.static_pcr, device.capabilities().banks, config.explained_static},
                      next));
  CS_TRY(const tpm::PcrState later, sealing_state(boot, config.static_pcr, at_start));
  std::vector<tpm::SealPolicy> out{{now}};
  if (later.composite() != now.composite()) out.push_back({later});
  return out;
}

Result<HeldPolicy> Machine::read_policy(const KeptPolicy& kept) const {
  CS_TRY(AgreementVerdict agreed, read_agreed(kept.agreement));
  HeldPolicy out{std::move(agreed.policy), agreed.value, kept.state, xfrm::End::left};
  const auto end = end_of(out.policy, ne_id_);
  if (!end) return Error(ErrorKind::invalid, "a policy in the store is none of " + ne_id_);
  out.end = *end;
  return out;
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
  CS_CHECK(registers_->certificate_valid(device, statement.certificate));
  return sign_endpoint(device, *attestation_key_, statement);
}

Result<void> Machine::endpoint_revoked(tpm::Device& device, const Hash& certificate) {
  return registers_->certificate_revoked(device, certificate);
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
  CS_TRY(out.blobs, tpm::SigningKey::create(device, session_, out.policy, owner_));
  CS_TRY(const auto key, tpm::SigningKey::public_key(out.blobs));
  statement.public_key.assign(key.begin(), key.end());
  return out;
}

Result<void> Machine::add_endorsement(tpm::Device& device, Shown& shown) {
  if (!endorsement_shown_) {
    auto read = read_endorsement(device, endorsement_);
    // Without one the verifier says what it thinks of that.
    if (!read.ok() && read.error().kind() == ErrorKind::not_found) return {};
    if (!read.ok()) return std::move(read).error();
    endorsement_shown_ = std::move(read).value();
  }
  shown.message.endorsement_key = endorsement_shown_->key;
  shown.logs[static_cast<std::size_t>(Log::endorsement)] = endorsement_shown_->certificates;
  return {};
}

Result<Machine::Shown> Machine::show(tpm::Device& device, const ShowTerms& terms) {
  if (registers_->own_static_log() == nullptr || registers_->own_event_log() == nullptr) {
    return Error(ErrorKind::unverified, "this gateway's own registers cannot be vouched for")
        .with_hint("countersign log says why");
  }
  Shown shown;
  shown.statement = statement_for(terms, *options_.clock);
  Sources sources{terms.gateway, *attestation_key_, *registers_->own_static_log(),
                  *registers_->own_event_log()};
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
  CS_TRY(const ShownEndorsement shown, read_endorsement(device, endorsement_));
  tpm::VolatileObject key = tpm::endorsement_key(shown.type, endorsement_);
  return attestation_key_->activate(device, key, credential.id_object, credential.encrypted_secret);
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

Result<void> Machine::keep_memory(tpm::Device& device, const std::string& peer,
                                  const Bytes& memory) {
  CS_TRY(Unlocked unlocked, unlock(device));
  return unlocked.keep({RowKind::peer_memory, peer}, memory);
}

Result<void> Machine::found(tpm::Device& device, const std::set<xfrm::Difference>& all) {
  return registers_->found(device, all);
}

Result<void> Machine::measured(tpm::Device& device, const Hash& policies) {
  return registers_->measured(device, policies);
}

Result<void> Machine::reopen(tpm::Device& device) {
  return registers_->reopen(device);
}

Result<std::vector<Bytes>> Machine::logs() const {
  CS_TRY(Bytes statics, registers_->static_log());
  CS_TRY(Bytes events, registers_->event_log());
  return std::vector<Bytes>{std::move(statics), std::move(events)};
}

Result<PolicySignature> Machine::sign_policy(tpm::Device& device, const CorePolicy& policy) {
  const auto end = end_of(policy, ne_id_);
  if (!end) return Error(ErrorKind::denied, "the policy is none of " + ne_id_);
  const tpm::KeyBlobs& blobs = store_->clear().attestation_key;
  const ByteView area = tpm::without_size(blobs.public_part);
  const auto& wanted = policy.gateways.at(index(*end)).attestation_key;
  CS_TRY(const tpm::PublicArea parsed, tpm::PublicArea::parse(area));
  const tpm::Name name = tpm::name_of(parsed);
  if (wanted && *wanted != name) {
    return Error(ErrorKind::denied, "the policy names another attestation key for " + ne_id_)
        .with_hint("countersign status tells this gateway's; put it into the policy");
  }
  CS_TRY(const Bytes encoded, encode(policy));
  PolicySignature out;
  out.key.assign(area.begin(), area.end());
  CS_TRY(out.signature, attestation_key_->sign(device, signed_document(encoded)));
  return out;
}

// What a policy that both have signed would do to the book, and what would be in force then.
Result<Machine::Next> Machine::next_after(const Book& book, ByteView agreement) const {
  CS_TRY(AgreementVerdict agreed, read_agreed(agreement));
  const auto end = end_of(agreed.policy, ne_id_);
  if (!end) return Error(ErrorKind::denied, "the policy is none of " + ne_id_);
  Next next;
  next.book = book;
  next.value = agreed.value;
  next.plan.peer = agreed.policy.gateways.at(index(other(*end))).ne_id;
  next.plan.version = agreed.policy.version;
  next.plan.value = agreed.value;
  CS_TRY(const tpm::Digest digest, digest_of(agreed.value));
  if (const KeptPolicy* before = book.in_force(next.plan.peer)) {
    CS_TRY(const HeldPolicy held, read_policy(*before));
    next.instead = held.value;
    for (const Change& one : changes(held.policy, agreed.policy))
      next.plan.changes.push_back(one.sentence);
  } else {
    next.plan.changes.push_back("the first policy with " + next.plan.peer);
  }
  KeptPolicy kept{next.plan.peer, agreed.policy.version, digest};
  kept.agreement.assign(agreement.begin(), agreement.end());
  const auto is_kept = [&](const KeptPolicy& one) {
    return one.peer == kept.peer && one.version == kept.version &&
           one.core_properties == kept.core_properties;
  };
  if (std::ranges::none_of(book.policies(), is_kept)) CS_CHECK(next.book.agree(kept));
  CS_CHECK(next.book.put_in_force(next.plan.peer, next.plan.version));
  next.in_force.configuration = options_.configuration;
  for (const tpm::Digest& one : next.book.core_properties())
    next.in_force.policies.insert(hash_of(one));
  return next;
}

// The states that the store has to open in: as the machine is, as it is once the register has been
// extended, and as it will be from the next start on.
Result<std::vector<tpm::SealPolicy>> Machine::states_of(tpm::Device& device, Next& next) const {
  const DaemonConfig& config = options_.config;
  CS_TRY(auto states, sealed_to(device, next.in_force));
  CS_TRY(const tpm::PcrValues values, tpm::read_pcrs(device, config.boot_registers));
  CS_TRY(const tpm::PcrState boot, tpm::PcrState::of(config.boot_registers, values));
  CS_TRY(const Bytes log, registers_->static_log());
  CS_TRY(const Bytes after, log_after(log, next.value));
  CS_TRY(const tpm::PcrState state, sealing_state(boot, config.static_pcr, after));
  const auto static_value = [&](const tpm::PcrState& of) {
    return *of.values().find(tpm::HashAlgorithm::sha256, config.static_pcr);
  };
  next.plan.at_start = static_value(states.back().state);
  next.plan.now = static_value(state);
  states.push_back({state});
  return states;
}

Result<Plan> Machine::plan(tpm::Device& device, ByteView agreement) {
  CS_TRY(const Unlocked unlocked, unlock(device));
  CS_TRY(Next next, next_after(unlocked.book(), agreement));
  CS_TRY([[maybe_unused]] const auto states, states_of(device, next));
  return std::move(next.plan);
}

// In the store first: whoever is killed in between finds there what the register still lacks.
Result<Plan> Machine::apply(tpm::Device& device, ByteView agreement) {
  CS_TRY(Unlocked unlocked, unlock(device));
  CS_TRY(Next next, next_after(unlocked.book(), agreement));
  CS_TRY(auto states, states_of(device, next));
  Contents contents{store_->clear(), next.book, std::move(states)};
  CS_TRY(contents.clear.configuration, digest_of(options_.configuration));
  CS_CHECK(unlocked.write(device, srk_, std::move(contents)));
  std::set<Hash> instead;
  if (next.instead) instead.insert(*next.instead);
  CS_CHECK(registers_->apply(device, next.value, instead));
  return std::move(next.plan);
}

namespace {

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), S_IRWXU) == 0 || errno == EEXIST) return {};
  return from_errno(errno, "making the directory " + path);
}

Result<tpm::Auth> draw_auth() {
  CS_TRY(SecretBytes secret, SecretBytes::create(auth_size));
  if (::getrandom(secret.bytes().data(), secret.size(), 0) != static_cast<ssize_t>(auth_size))
    return from_errno(errno, "drawing an auth value");
  return tpm::Auth(std::make_shared<const SecretBytes>(std::move(secret)));
}

}  // namespace

Result<std::vector<std::string>> Machine::set_up(tpm::Device& device, const Options& options,
                                                 const std::string& ne_id) {
  const DaemonConfig& config = options.config;
  if (!is_ne_id(ne_id)) {
    return Error(ErrorKind::invalid, "\"" + ne_id + "\" is no NeID")
        .with_hint("a lower-case letter, then lower-case letters, digits and '-', at most 16");
  }
  CS_CHECK(make_directory(config.state_directory));
  CS_CHECK(make_directory(config.logs()));
  if (::access(config.store().c_str(), F_OK) == 0) {
    CS_TRY(auto there, open(device, options));
    if (there->ne_id_ == ne_id) return std::vector<std::string>();
    return Error(ErrorKind::exists, "this gateway is " + there->ne_id_ + " already")
        .with_hint("to begin anew: countersign recover");
  }
  std::unique_ptr<Machine> made(new Machine(options));
  CS_CHECK(made->make_store(device, ne_id));
  return std::vector<std::string>{
      "a counter in the TPM, against stores that are put back",
      "an attestation key, in the TPM's endorsement hierarchy",
      "the sealed store " + config.store() + ", which opens in this state of the machine alone"};
}

Result<void> Machine::make_store(tpm::Device& device, const std::string& ne_id) {
  const DaemonConfig& config = options_.config;
  CS_TRY(owner_, read_auth(config.owner_auth));
  CS_TRY(endorsement_, read_auth(config.endorsement_auth));
  srk_ = tpm::storage_root_key(owner_);
  session_ = tpm::SaltedSession(tpm::storage_root_key(owner_));
  ne_id_ = ne_id;
  CS_CHECK(tpm::define_counter(device, store_counter, owner_));
  CS_TRY(tpm::Auth auth, draw_auth());
  Contents contents;
  contents.clear.ne_id = ne_id;
  contents.clear.counter = store_counter;
  CS_TRY(contents.clear.configuration, digest_of(options_.configuration));
  CS_TRY(contents.clear.attestation_key,
         tpm::AttestationKey::create(device, session_, {tpm::KeyType::p256, auth, endorsement_}));
  InForce nothing;
  nothing.configuration = options_.configuration;
  CS_TRY(registers_, Registers::open(device, register_options(config), nothing));
  CS_TRY(contents.sealed_to, sealed_to(device, nothing));
  CS_TRY(store_, Store::create(device, srk_, {config.store(), owner_, options_.clock},
                               std::move(contents)));
  CS_TRY(Unlocked unlocked, unlock(device));
  return unlocked.keep({RowKind::note, ak_auth}, auth->bytes());
}

}  // namespace cs::keyms
