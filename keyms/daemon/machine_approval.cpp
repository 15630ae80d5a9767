// SPDX-License-Identifier: GPL-3.0-or-later
// States of this machine that somebody off it has approved (docs/SEALING.md).
#include <algorithm>
#include <utility>

#include "base/endian.h"
#include "keyms/daemon/machine.h"
#include "keyms/daemon/machine_notes.h"
#include "keyms/session/key_schedule.h"
#include "keyms/store/byte_list.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/seal/nv_counter.h"
#include "tpm/small_file.h"

namespace cs::keyms {
namespace {

constexpr std::string_view purpose = "store";
// Another than the store's, which counts whenever the book is written.
constexpr std::uint32_t approval_counter = tpm::first_counter_index + 1;
constexpr std::size_t max_key_file = 4096;

Bytes counted(std::uint32_t reset_count) {
  Bytes out(sizeof(reset_count));
  store<std::endian::big>(reset_count, std::span<std::uint8_t, sizeof(reset_count)>(out));
  return out;
}

}  // namespace

// Who approves decides what this machine keeps to: that belongs to what the register is told of its
// configuration.
Result<void> Machine::know_approver(tpm::Device& device) {
  const std::string& path = options_.config.approver;
  if (path.empty()) return {};
  CS_TRY(const Bytes file, tpm::read_small_file(path, max_key_file).context("the approver's key"));
  CS_TRY(const tpm::PublicKey key, tpm::PublicKey::read(file).context("reading " + path));
  CS_TRY(tpm::PublicArea area, tpm::approver_area(key).context("reading " + path));
  CS_TRY(const tpm::Digest reference, tpm::approval_reference(ne_id_, purpose));
  options_.configuration =
      domain_hash("countersign approver v1", {options_.configuration, area.encode()});
  approved_ = tpm::SealPolicy::Approved{std::move(area), reference};
  return tpm::define_counter(device, approval_counter, owner_);
}

bool Machine::has_drifted() const {
  const RegisterStory& story = registers_->static_story();
  return !story.drifts().empty() || !story.healed().empty();
}

// An approval is of one boot: or the same drift, healed in a later one, would be approved already.
// Drift is only told by who has counted in this boot, so what drifted needs no more of it.
Result<void> Machine::retire_approvals(tpm::Device& device, Unlocked& unlocked) {
  if (!approved_ || has_drifted()) return {};
  const Bytes boot = counted(registers_->reset_count());
  CS_TRY(const auto last, read_note(unlocked, approvals_boot));
  if (last == boot) return {};
  CS_CHECK(tpm::count_on(device, approval_counter, owner_));
  CS_CHECK(store_->keep_approvals({}));
  CS_CHECK(unlocked.drop({RowKind::note, asked_ahead}));
  return unlocked.keep({RowKind::note, approvals_boot}, boot);
}

// Refused: what nobody may be asked for.
Result<void> Machine::check_approvable() const {
  if (!approved_) {
    return Error(ErrorKind::unsupported, "nobody is configured who approves states of this machine")
        .with_hint("reboot instead; for the next time: [state] approver in keymsd.toml");
  }
  const RegisterStory::Drifts& open = registers_->static_story().drifts();
  if (open.empty()) return {};
  std::string all;
  for (const auto& [text, record] : open) {
    all += (all.empty() ? "" : "; ") + text;
  }
  return Error(ErrorKind::denied, "there is drift that is not healed: " + all)
      .with_hint("mend its cause first: countersign status tells how");
}

Result<ApprovalRequest> Machine::request_of(tpm::Device& device, Bytes log) {
  const DaemonConfig& config = options_.config;
  CS_TRY(const tpm::PcrValues values, tpm::read_pcrs(device, config.boot_registers));
  CS_TRY(tpm::PcrState boot, tpm::PcrState::of(config.boot_registers, values));
  CS_TRY(const tpm::Handle* const salt_key, srk_.handle(device));
  CS_TRY(const std::uint64_t count, tpm::read_counter(device, *salt_key, approval_counter));
  return ApprovalRequest{ne_id_,          std::string(purpose), approval_counter, count,
                         std::move(boot), config.static_pcr,    std::move(log)};
}

Result<Bytes> Machine::approval_request(tpm::Device& device) {
  CS_CHECK(check_approvable());
  CS_TRY(Bytes log, registers_->static_log());
  CS_TRY(const ApprovalRequest request, request_of(device, std::move(log)));
  return request.encode();
}

Result<Bytes> Machine::approval_request_for(tpm::Device& device, ByteView agreement) {
  CS_CHECK(check_approvable());
  CS_TRY([[maybe_unused]] const AgreementVerdict agreed, read_agreed(agreement));
  CS_TRY(Unlocked unlocked, unlock(device));
  CS_TRY(Next next, next_after(device, unlocked.book(), agreement));
  CS_TRY(const ApprovalRequest request, request_of(device, std::move(next.log_after)));
  CS_TRY(Bytes encoded, request.encode());
  CS_CHECK(unlocked.keep({RowKind::note, asked_ahead}, encoded));
  return encoded;
}

// Nothing: none was asked for ahead in this boot.
Result<std::optional<ApprovalRequest>> Machine::request_ahead(tpm::Device& device) {
  const auto unlocked = unlock(device);
  if (!unlocked.ok()) return std::optional<ApprovalRequest>();
  CS_TRY(const auto note, read_note(*unlocked, asked_ahead));
  if (!note) return std::optional<ApprovalRequest>();
  CS_TRY(ApprovalRequest request, ApprovalRequest::parse(*note));
  return std::optional(std::move(request));
}

// What does not fit the state as it is may fit the one that was asked for ahead.
Result<std::string> Machine::take_approval(tpm::Device& device, ByteView approval) {
  CS_CHECK(check_approvable());
  CS_TRY(Bytes log, registers_->static_log());
  CS_TRY(const ApprovalRequest now, request_of(device, std::move(log)));
  std::string state = "the state as it is";
  auto taken = keyms::take_approval(approval, now, approved_->approver);
  if (!taken.ok()) {
    CS_TRY(const auto ahead, request_ahead(device));
    if (!ahead) return std::move(taken).error();
    auto of_plan = keyms::take_approval(approval, *ahead, approved_->approver);
    if (!of_plan.ok()) return std::move(taken).error();
    taken = std::move(of_plan);
    state = "the state that the plan leads to";
  }
  CS_CHECK(keep_approval(*std::move(taken)));
  CS_TRY(Unlocked unlocked, unlock(device));
  Book book = unlocked.book();
  CS_CHECK(book.note_approval(
      {tpm::Hasher(tpm::HashAlgorithm::sha256).hash({approval}), options_.clock->wall()}));
  CS_TRY(auto states, sealed_to(device, in_force_of(book)));
  CS_CHECK(seal_to(device, unlocked, std::move(book), std::move(states)));
  return "what is sealed opens in " + state + ", until the next drift or the next boot";
}

// In place of one for the same state; what others have written in goes first.
Result<void> Machine::keep_approval(tpm::Approval approval) {
  auto kept = store_->approvals();
  std::vector<tpm::Approval> all;
  if (kept.ok()) all = *std::move(kept);
  std::erase_if(all, [&](const tpm::Approval& one) {
    return one.policy() == approval.policy() ||
           !one.verify(approved_->approver, approved_->reference).ok();
  });
  if (all.size() >= most_listed) all.erase(all.begin());
  all.push_back(std::move(approval));
  return store_->keep_approvals(all);
}

// Nothing is sealed to a state with drift in it: there an approval has to be, before the plan.
Result<void> Machine::check_approved(tpm::Device& device, const tpm::SealPolicy& state) {
  CS_TRY(const tpm::Handle* const salt_key, srk_.handle(device));
  CS_TRY(const std::uint64_t count, tpm::read_counter(device, *salt_key, approval_counter));
  CS_TRY(const auto kept, store_->approvals());
  const bool approved = std::ranges::any_of(kept, [&](const tpm::Approval& one) {
    return one.state.selection() == state.state.selection() &&
           one.state.composite() == state.state.composite() && one.counter_at_most >= count &&
           one.verify(approved_->approver, approved_->reference).ok();
  });
  if (approved) return {};
  return Error(ErrorKind::denied,
               "this boot has drifted: the state that the plan leads to is not approved, so that "
               "nothing that is sealed would open in it")
      .with_hint("have it approved first, countersign recover --request, or reboot");
}

}  // namespace cs::keyms
