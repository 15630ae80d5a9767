// SPDX-License-Identifier: GPL-3.0-or-later
// What the gateway has agreed to and runs. The book is written as a whole, and an older one is
// refused: whoever could put an old policy back would undo what both operators have decided since.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "keyms/policy/agreement_file.h"
#include "keyms/store/clear.h"

namespace cs::keyms {

enum class PolicyState : std::uint8_t {
  agreed = 1,  // signed by both, not run yet
  in_force,    // one per peer
  retired,     // was in force; never again
};

struct KeptPolicy {
  static constexpr std::size_t most_agreement = max_agreement_file;

  std::string peer;  // NeID
  std::uint64_t version = 0;
  tpm::Digest core_properties{tpm::HashAlgorithm::sha256};
  PolicyState state = PolicyState::agreed;
  std::vector<std::uint8_t> agreement = {};  // as both have signed it
};

// That somebody approved a state of this machine (tpm/seal/approval.h), for the record: how long it
// holds the TPM's counter says.
struct TakenApproval {
  tpm::Digest approval{tpm::HashAlgorithm::sha256};  // SHA-256 of its file
  WallTime taken;
};

class Book {
 public:
  static constexpr std::size_t most_encoded = 8UL * 1024 * 1024;
  static constexpr std::size_t most_agreements = 7UL * 1024 * 1024;  // bytes of all of them
  static constexpr std::size_t most_approvals = 256;
  static constexpr std::size_t most_peers = 4096;  // that ever were

  // Ascending by peer and version.
  [[nodiscard]] const std::vector<KeptPolicy>& policies() const noexcept { return policies_; }
  [[nodiscard]] const std::vector<TakenApproval>& approvals() const noexcept { return approvals_; }
  // Null: none.
  [[nodiscard]] const KeptPolicy* in_force(std::string_view peer) const noexcept;
  // Ever in force for this peer; 0: none.
  [[nodiscard]] std::uint64_t highest_run(std::string_view peer) const noexcept;
  // Of all policies in force, ascending.
  [[nodiscard]] std::vector<tpm::Digest> core_properties() const;

  // Keeps what both have agreed to, in the state `agreed`. Refused: denied, its version is not
  // above the highest run; exists, another policy of this version is kept; limit.
  [[nodiscard]] Result<void> agree(KeptPolicy policy);
  // The one that was in force is retired. Refused: not_found, no such policy is kept; denied, it is
  // retired, or its version is below the highest run.
  [[nodiscard]] Result<void> put_in_force(std::string_view peer, std::uint64_t version);
  // Without a policy in force nothing of the peer's is admitted. What was run stays known.
  void retire(std::string_view peer) noexcept;
  // Refused: not_found; denied, it is in force.
  [[nodiscard]] Result<void> forget(std::string_view peer, std::uint64_t version);
  [[nodiscard]] Result<void> note_approval(TakenApproval approval);

  // `clear`: SHA-256 of the clear part that goes with it.
  [[nodiscard]] Result<std::vector<std::uint8_t>> encode(const tpm::Digest& clear) const;
  // The whole of `bytes`: what encode() writes, and nothing else. Refused (unverified): the clear
  // part is another one.
  [[nodiscard]] static Result<Book> decode(ByteView bytes, const tpm::Digest& clear);

 private:
  [[nodiscard]] KeptPolicy* find(std::string_view peer, std::uint64_t version) noexcept;

  std::vector<KeptPolicy> policies_;
  std::map<std::string, std::uint64_t, std::less<>> highest_run_;
  std::vector<TakenApproval> approvals_;
};

}  // namespace cs::keyms
