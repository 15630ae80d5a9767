// SPDX-License-Identifier: GPL-3.0-or-later
// Signs nfq-signer's statements with keys that are in the TPM: docs/PROTOCOL.md, "Signing for
// nfq-signer".
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "keyms/statement_signer.h"
#include "tpm/device/owner.h"
#include "tpm/device/signing_key.h"
#include "tpm/hash.h"

namespace cs::keyms {

// The owner's thread waits for the TPM.
class TpmRootSigner final : public StatementSigner {
 public:
  // Owner and clock must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<TpmRootSigner>> create(tpm::Owner& owner,
                                                                     const Clock& clock);

  // In place of the one with the same id, if there is one; with the same check it goes on, to
  // another end. Refused: a suite that is not P-256's.
  Result<void> open(const Opening& opening, tpm::SigningKey signing);
  // The same, later. The signer must outlive what it gives.
  [[nodiscard]] Open opener(tpm::KeyBlobs blobs, tpm::SigningKey::Policy policy,
                            tpm::Auth owner = {});
  void close(std::uint32_t key) override { open_.erase(key); }
  void clear() override;

  // When a key's registers have moved, its requests fail, and from then on it is unknown.
  void take(const SignRequest& request) override;
  [[nodiscard]] int fd() const noexcept override;
  // Signatures in the order of their requests.
  void collect(std::vector<Answer>& out) override;

 private:
  struct OpenKey {
    BootTime end;
    std::shared_ptr<StatementCheck> check;
    std::shared_ptr<tpm::SigningKey> signing;  // used on the owner's thread
  };
  struct Finished {
    Answer answer;
    std::uint32_t key = 0;
    std::uint64_t connection = 0;
    std::shared_ptr<tpm::SigningKey> signing;  // null: the TPM was not asked
  };
  class Mailbox;

  TpmRootSigner(tpm::Owner& owner, const Clock& clock, std::shared_ptr<Mailbox> mailbox)
      : owner_(&owner), clock_(&clock), mailbox_(std::move(mailbox)) {}
  [[nodiscard]] OpenKey* find(std::uint32_t key) noexcept;
  [[nodiscard]] SignStatus admit(const SignRequest& request) noexcept;
  void ask_tpm(const SignRequest& request);
  void check_key(Finished& finished) noexcept;

  tpm::Owner* owner_;
  const Clock* clock_;
  std::shared_ptr<Mailbox> mailbox_;  // outlives this in jobs that are under way
  tpm::Hasher hasher_{tpm::HashAlgorithm::sha256};
  std::map<std::uint32_t, OpenKey> open_;
  std::vector<Finished> finished_;
  std::size_t with_tpm_ = 0;  // requests
  std::uint64_t connection_ = 0;
};

}  // namespace cs::keyms
