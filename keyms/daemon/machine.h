// SPDX-License-Identifier: GPL-3.0-or-later
// This gateway's TPM, registers, keys and store: everything that is done on the thread that owns
// the TPM. It decides by itself what it signs: evidence, endpoint statements and policies it has
// made or rebuilt, nothing that is handed to it as bytes.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "keyms/daemon/config.h"
#include "keyms/evidence/collect.h"
#include "keyms/measure/approval_request.h"
#include "keyms/measure/registers.h"
#include "keyms/policy/agreement_file.h"
#include "keyms/session/hello.h"
#include "keyms/session/run.h"
#include "keyms/store/store.h"
#include "tpm/device/attestation_key.h"
#include "tpm/device/signing_key.h"

namespace cs::keyms {

// A policy as the store has it, read again.
struct HeldPolicy {
  CorePolicy policy;
  Hash value{};
  PolicyState state = PolicyState::agreed;
  xfrm::End end = xfrm::End::left;  // ours

  [[nodiscard]] const Gateway& ours() const noexcept { return policy.gateways.at(index(end)); }
  [[nodiscard]] const Gateway& peer() const noexcept {
    return policy.gateways.at(index(other(end)));
  }
};

// A session key that stays in the TPM.
struct ResidentKey {
  tpm::KeyBlobs blobs;
  tpm::SigningKey::Policy policy;
  tpm::Auth owner;
};

// What a plan or an agreement would change, before it does.
struct Plan {
  std::string peer;
  std::uint64_t version = 0;
  std::vector<std::string> changes;  // sentences
  Hash value{};
  // The static register in this boot once it is applied, and from the next start on.
  tpm::Digest now{tpm::HashAlgorithm::sha256};
  tpm::Digest at_start{tpm::HashAlgorithm::sha256};
};

// A register's log, and whether the register bears it out.
struct LogView {
  std::string name;   // "static" or "event"
  std::string reg;    // "PCR 15"
  std::string value;  // of the register now, in hexadecimal: its bank SHA-256
  bool agrees = false;
  std::string why;  // it does not agree, or is not what is in force; empty: all is as it should be
  Bytes log;
};

class Machine {
 public:
  struct Options {
    DaemonConfig config;
    Hash configuration{};  // of all daemons
    const Clock* clock = nullptr;
  };
  // What the rest of the daemon knows of it.
  struct Facts {
    std::string ne_id;
    tpm::Name attestation_key;
    Bytes ak_public;  // TPMT_PUBLIC
    std::vector<HeldPolicy> policies;
    std::map<std::string, Bytes> memories;  // of peers, encoded
    std::uint32_t reset_count = 0;
    std::optional<std::string> unlike;  // why this boot's static log is not what is in force
  };

  // Extends the static register with what is in force, then opens the store. Refused: not_found
  // (nothing was set up: countersign init), and whatever keeps it from being trusted, in words.
  [[nodiscard]] static Result<std::unique_ptr<Machine>> open(tpm::Device& device,
                                                             const Options& options);
  // Registers and store alone, whatever state the machine is in: good for log_view(), the approvals
  // and try_unlock(), which makes it whole. The rest refuses (closed) until then.
  [[nodiscard]] static Result<std::unique_ptr<Machine>> open_locked(tpm::Device& device,
                                                                    const Options& options);
  // Whether what is sealed opens in this state of the machine. Refused: denied, which register
  // differs and since which event.
  [[nodiscard]] Result<void> try_unlock(tpm::Device& device);
  // Makes what is not there: the counter, the attestation key, the store. Tells what it made, in
  // sentences; nothing where all was there.
  [[nodiscard]] static Result<std::vector<std::string>> set_up(tpm::Device& device,
                                                               const Options& options,
                                                               const std::string& ne_id);

  [[nodiscard]] Result<Facts> facts(tpm::Device& device);

  // An endpoint certificate that we have made ourselves: into the log, and signed.
  [[nodiscard]] Result<Signed> endpoint_valid(tpm::Device& device,
                                              const EndpointStatement& statement);
  // All that are valid in this boot's log but these.
  [[nodiscard]] Result<void> revoke_others(tpm::Device& device, const std::set<Hash>& but);

  struct ShowTerms {
    Gateway gateway;  // ours, as the policy has it
    Signing signing;
    std::string peer;
    ShowRequest request;
    Hash measured{};  // of the kernel's policies
  };
  struct Shown {
    EvidenceMessage message;
    EvidenceStatement statement;
    std::array<Bytes, log_count> logs;
    std::optional<ResidentKey> resident;
  };
  // A new session key, kept in the store, and a quote over it.
  [[nodiscard]] Result<Shown> show(tpm::Device& device, const ShowTerms& terms);
  [[nodiscard]] Result<SecretBytes> activate(tpm::Device& device, const CredentialFor& credential);

  // The private part, if its certificate holds now.
  [[nodiscard]] Result<SecretBytes> fetch_key(tpm::Device& device, std::uint32_t key);
  [[nodiscard]] Result<void> drop_key(tpm::Device& device, std::uint32_t key);
  // Those of before a restart, say.
  [[nodiscard]] Result<void> drop_all_keys(tpm::Device& device);
  [[nodiscard]] Result<void> keep_memory(tpm::Device& device, const std::string& peer,
                                         const Bytes& memory);

  // Whatever else is to be found again after a restart. Nothing: there is none of that name.
  // Refused (invalid): the name of a note that is the machine's own.
  [[nodiscard]] Result<std::optional<Bytes>> note(tpm::Device& device, const std::string& name);
  [[nodiscard]] Result<void> keep_note(tpm::Device& device, const std::string& name,
                                       const Bytes& value);

  [[nodiscard]] Result<void> found(tpm::Device& device, const std::set<xfrm::Difference>& all,
                                   const std::set<xfrm::Difference>& awaited = {});
  [[nodiscard]] Result<void> measured(tpm::Device& device, const Hash& policies);
  // After an error of the registers, or a reset of the TPM.
  [[nodiscard]] Result<void> reopen(tpm::Device& device);
  [[nodiscard]] Result<std::vector<Bytes>> logs() const;  // static, event
  [[nodiscard]] Result<std::vector<LogView>> log_view(tpm::Device& device) const;

  // Our signature under a policy that concerns us.
  [[nodiscard]] Result<PolicySignature> sign_policy(tpm::Device& device, const CorePolicy& policy);
  [[nodiscard]] Result<Plan> plan(tpm::Device& device, ByteView agreement);
  // Keeps it, and puts it in force: in the store, then in the static register.
  [[nodiscard]] Result<Plan> apply(tpm::Device& device, ByteView agreement);
  // No policy with that peer any more. This boot's static register keeps what it was told. Refused
  // (not_found): none is in force.
  [[nodiscard]] Result<void> retire(tpm::Device& device, const std::string& peer);

  // What the configured approver is asked to sign (ApprovalRequest): that what is sealed opens in
  // the state as it is, or in the one that a plan leads to in this boot. Refused: unsupported,
  // there is no approver; denied, drift is open (which).
  [[nodiscard]] Result<Bytes> approval_request(tpm::Device& device);
  [[nodiscard]] Result<Bytes> approval_request_for(tpm::Device& device, ByteView agreement);
  // What came back. It holds until the next drift or boot. Tells, in a sentence, what opens now.
  // Refused (unverified): somebody else has signed it, or it is of another state or boot.
  [[nodiscard]] Result<std::string> take_approval(tpm::Device& device, ByteView approval);

 private:
  explicit Machine(Options options);
  [[nodiscard]] Result<void> begin(tpm::Device& device);
  [[nodiscard]] Result<void> read_secrets();
  [[nodiscard]] Result<void> complete(tpm::Device& device);
  [[nodiscard]] Result<Unlocked> unlock(tpm::Device& device);
  [[nodiscard]] Result<tpm::AttestationKey*> attestation_key();
  [[nodiscard]] Result<void> seal_to(tpm::Device& device, Unlocked& unlocked, Book book,
                                     std::vector<tpm::SealPolicy> states);
  [[nodiscard]] Result<bool> is_sealed_to(const std::vector<tpm::SealPolicy>& states) const;
  [[nodiscard]] UnlockTerms unlock_terms() const;
  [[nodiscard]] InForce in_force() const;
  [[nodiscard]] RegisterOptions register_options();
  [[nodiscard]] Result<void> extend_in_force(tpm::Device& device);
  // The state of the machine with this static log; and with that of a start with this in force.
  [[nodiscard]] Result<tpm::SealPolicy> state_by(tpm::Device& device, ByteView static_log) const;
  [[nodiscard]] Result<tpm::SealPolicy> state_at_start(tpm::Device& device,
                                                       const InForce& next) const;
  [[nodiscard]] Result<std::vector<tpm::SealPolicy>> sealed_to(tpm::Device& device,
                                                               const InForce& next) const;
  struct Next {
    Book book;
    Hash value{};
    std::optional<Hash> instead;  // of what was in force
    InForce in_force;
    Plan plan;
    Bytes log_after;  // the static log, once it is applied
  };
  [[nodiscard]] Result<Next> next_after(tpm::Device& device, const Book& book,
                                        ByteView agreement) const;
  [[nodiscard]] InForce in_force_of(const Book& book) const;
  [[nodiscard]] Result<void> know_approver(tpm::Device& device);
  [[nodiscard]] bool has_drifted() const;
  [[nodiscard]] Result<void> retire_approvals(tpm::Device& device, Unlocked& unlocked);
  [[nodiscard]] Result<void> check_approvable() const;
  [[nodiscard]] Result<void> check_approved(tpm::Device& device, const tpm::SealPolicy& state);
  [[nodiscard]] Result<ApprovalRequest> request_of(tpm::Device& device, Bytes log);
  [[nodiscard]] Result<std::optional<ApprovalRequest>> request_ahead(tpm::Device& device);
  [[nodiscard]] Result<void> keep_approval(tpm::Approval approval);
  [[nodiscard]] Result<void> make_event_index(tpm::Device& device);
  [[nodiscard]] Result<void> make_store(tpm::Device& device, const std::string& ne_id);
  [[nodiscard]] Result<HeldPolicy> read_policy(const KeptPolicy& kept) const;
  [[nodiscard]] Result<void> keep_session_key(tpm::Device& device, const ShowTerms& terms,
                                              EvidenceStatement& statement);
  [[nodiscard]] Result<ResidentKey> make_resident_key(tpm::Device& device, const ShowTerms& terms,
                                                      EvidenceStatement& statement);
  [[nodiscard]] Result<const ShownEndorsement*> endorsement(tpm::Device& device);
  [[nodiscard]] Result<LogView> log_view(tpm::Device& device, StoryOf of) const;
  [[nodiscard]] Result<void> add_endorsement(tpm::Device& device, Shown& shown);

  Options options_;
  tpm::Auth owner_;
  tpm::Auth endorsement_;
  tpm::Auth event_index_;
  tpm::VolatileObject srk_;
  tpm::SaltedSession session_;
  std::optional<tpm::SealPolicy::Approved> approved_;  // by the approver; none is configured
  std::optional<Store> store_;
  std::optional<Registers> registers_;
  std::optional<tpm::AttestationKey> attestation_key_;
  std::optional<ShownEndorsement> endorsement_shown_;
  std::string ne_id_;
};

}  // namespace cs::keyms
