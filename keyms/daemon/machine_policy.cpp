// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <utility>

#include "keyms/daemon/machine.h"
#include "keyms/measure/predict.h"
#include "keyms/policy/difference.h"
#include "keyms/policy/encode.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/evidence/name.h"

namespace cs::keyms {

namespace {

tpm::Digest static_value(const tpm::SealPolicy& of, std::uint32_t pcr) {
  return *of.state.values().find(tpm::HashAlgorithm::sha256, pcr);
}

// Who is to sign a proposal wants to see what it would do.
Result<AgreementVerdict> read_proposed(ByteView bytes) {
  CS_TRY(const AgreementFile file, decode_agreement(bytes));
  CS_TRY(AgreementVerdict verdict, verify(file));
  for (const SignatureVerdict& one : verdict.signatures) {
    if (one.state == SignatureState::wrong) return Error(ErrorKind::unverified, one.sentence);
  }
  return verdict;
}

}  // namespace

InForce Machine::in_force_of(const Book& book) const {
  InForce out;
  for (const KeptPolicy& kept : book.policies()) {
    const Hash value = to_hash(kept.core_properties);
    if (kept.state == PolicyState::in_force) out.policies.insert(value);
    if (kept.state == PolicyState::retired) out.retired.insert(value);
  }
  out.configuration = options_.configuration;
  return out;
}

Result<tpm::SealPolicy> Machine::state_by(tpm::Device& device, ByteView static_log) const {
  const DaemonConfig& config = options_.config;
  CS_TRY(const tpm::PcrValues values, tpm::read_pcrs(device, config.boot_registers));
  CS_TRY(const tpm::PcrState boot, tpm::PcrState::of(config.boot_registers, values));
  CS_TRY(tpm::PcrState state, sealing_state(boot, config.static_pcr, static_log));
  return tpm::SealPolicy{std::move(state)};
}

Result<tpm::SealPolicy> Machine::state_at_start(tpm::Device& device, const InForce& next) const {
  const DaemonConfig& config = options_.config;
  CS_TRY(const Bytes log,
         log_of_start({config.static_pcr, device.capabilities().banks, config.explained_static},
                      next));
  return state_by(device, log);
}

// As the machine is now, and as it will be at the next start with this in force. Drift stays in the
// register when it is healed: in such a state it is the approver who opens what is sealed.
Result<std::vector<tpm::SealPolicy>> Machine::sealed_to(tpm::Device& device,
                                                        const InForce& next) const {
  CS_TRY(const Bytes log, registers_->static_log());
  CS_TRY(const tpm::SealPolicy now, state_by(device, log));
  CS_TRY(const tpm::SealPolicy later, state_at_start(device, next));
  std::vector<tpm::SealPolicy> out{later};
  if (!has_drifted() && later.digest() != now.digest()) out.push_back(now);
  if (approved_) out.push_back({{}, approved_});
  return out;
}

Result<bool> Machine::is_sealed_to(const std::vector<tpm::SealPolicy>& states) const {
  CS_TRY(const auto now, store_->sealed_to());
  const auto is_others = [this](const tpm::SealPolicy& one) {
    return one.approved && one.approved != approved_;
  };
  if (std::ranges::any_of(now, is_others)) return false;  // the approver was exchanged
  return std::ranges::all_of(states, [&](const tpm::SealPolicy& state) {
    return std::ranges::any_of(
        now, [&](const tpm::SealPolicy& one) { return one.digest() == state.digest(); });
  });
}

Result<void> Machine::seal_to(tpm::Device& device, Unlocked& unlocked, Book book,
                              std::vector<tpm::SealPolicy> states) {
  Contents contents{store_->clear(), std::move(book), std::move(states)};
  contents.clear.configuration = to_digest(options_.configuration);
  return unlocked.write(device, srk_, std::move(contents));
}

Result<HeldPolicy> Machine::read_policy(const KeptPolicy& kept) const {
  CS_TRY(AgreementVerdict agreed, read_agreed(kept.agreement));
  HeldPolicy out{std::move(agreed.policy), agreed.value, kept.state, xfrm::End::left};
  const auto end = end_of(out.policy, ne_id_);
  if (!end) return Error(ErrorKind::invalid, "a policy in the store is none of " + ne_id_);
  out.end = *end;
  return out;
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
  CS_TRY(tpm::AttestationKey* const key, attestation_key());
  CS_TRY(const Bytes encoded, encode(policy));
  PolicySignature out;
  out.key.assign(area.begin(), area.end());
  CS_TRY(out.signature, key->sign(device, signed_document(encoded)));
  return out;
}

// What a policy would do to the book, and what would be in force then. Whether both have signed it
// is for who goes on with that.
Result<Machine::Next> Machine::next_after(tpm::Device& device, const Book& book,
                                          ByteView agreement) const {
  CS_TRY(AgreementVerdict agreed, read_proposed(agreement));
  const auto end = end_of(agreed.policy, ne_id_);
  if (!end) return Error(ErrorKind::denied, "the policy is none of " + ne_id_);
  Next next;
  next.book = book;
  next.value = agreed.value;
  next.plan.peer = agreed.policy.gateways.at(index(other(*end))).ne_id;
  next.plan.version = agreed.policy.version;
  next.plan.value = agreed.value;
  if (const KeptPolicy* before = book.in_force(next.plan.peer)) {
    CS_TRY(const HeldPolicy held, read_policy(*before));
    next.instead = held.value;
    for (const Change& one : changes(held.policy, agreed.policy))
      next.plan.changes.push_back(one.sentence);
  } else {
    next.plan.changes.push_back("the first policy with " + next.plan.peer);
  }
  KeptPolicy kept{next.plan.peer, agreed.policy.version, to_digest(agreed.value)};
  kept.agreement.assign(agreement.begin(), agreement.end());
  const auto is_kept = [&](const KeptPolicy& one) {
    return one.peer == kept.peer && one.version == kept.version &&
           one.core_properties == kept.core_properties;
  };
  if (std::ranges::none_of(book.policies(), is_kept)) CS_CHECK(next.book.agree(kept));
  CS_CHECK(next.book.put_in_force(next.plan.peer, next.plan.version));
  next.in_force = in_force_of(next.book);
  CS_TRY(const Bytes log, registers_->static_log());
  CS_TRY(next.log_after, log_after(log, next.value));
  CS_TRY(const tpm::SealPolicy later, state_at_start(device, next.in_force));
  CS_TRY(const tpm::SealPolicy after, state_by(device, next.log_after));
  next.plan.at_start = static_value(later, options_.config.static_pcr);
  next.plan.now = static_value(after, options_.config.static_pcr);
  return next;
}

Result<Plan> Machine::plan(tpm::Device& device, ByteView agreement) {
  CS_TRY(const Unlocked unlocked, unlock(device));
  CS_TRY(Next next, next_after(device, unlocked.book(), agreement));
  return std::move(next.plan);
}

// In the store first: whoever is killed in between finds there what the register still lacks.
Result<Plan> Machine::apply(tpm::Device& device, ByteView agreement) {
  CS_TRY([[maybe_unused]] const AgreementVerdict agreed, read_agreed(agreement));
  CS_TRY(Unlocked unlocked, unlock(device));
  CS_TRY(Next next, next_after(device, unlocked.book(), agreement));
  CS_TRY(auto states, sealed_to(device, next.in_force));
  CS_TRY(const tpm::SealPolicy after, state_by(device, next.log_after));
  if (has_drifted()) {
    CS_CHECK(check_approved(device, after));
  } else {
    states.insert(states.begin(), after);
  }
  CS_CHECK(seal_to(device, unlocked, std::move(next.book), std::move(states)));
  std::set<Hash> instead;
  if (next.instead) instead.insert(*next.instead);
  CS_CHECK(registers_->apply(device, next.value, instead));
  return std::move(next.plan);
}

Result<void> Machine::retire(tpm::Device& device, const std::string& peer) {
  CS_TRY(Unlocked unlocked, unlock(device));
  Book book = unlocked.book();
  const KeptPolicy* const before = book.in_force(peer);
  if (before == nullptr) {
    return Error(ErrorKind::not_found, "no policy with \"" + peer + "\" is in force")
        .with_hint("countersign peers lists those with whom one is");
  }
  const Hash value = to_hash(before->core_properties);
  book.retire(peer);
  CS_TRY(auto states, sealed_to(device, in_force_of(book)));
  CS_CHECK(seal_to(device, unlocked, std::move(book), std::move(states)));
  registers_->retire(value);
  return {};
}

}  // namespace cs::keyms
