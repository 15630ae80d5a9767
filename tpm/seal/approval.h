// SPDX-License-Identifier: GPL-3.0-or-later
// States of a machine that are approved, beforehand, by a key that is kept off it. Needs no TPM.
// docs/SEALING.md is the norm.
#pragma once

#include <cstdint>
#include <string_view>

#include "tpm/evidence/public_key.h"
#include "tpm/seal/pcr_state.h"

namespace cs::tpm {

// What data an approval is for: the policyRef of its policy.
[[nodiscard]] Result<Digest> approval_reference(std::string_view gateway, std::string_view purpose);

// What a TPM and data sealed to it call the approver: a P-256 key that signs.
// Refused: a key of another kind.
[[nodiscard]] Result<PublicArea> approver_area(const PublicKey& key);

struct Approval {
  Digest reference;
  // Holds only while this counter (nv_counter.h) is at most that: to count on retires it.
  std::uint32_t counter_index = 0;
  std::uint64_t counter_at_most = 0;
  PcrState state;
  Signature signature;

  static constexpr std::size_t most = 16384;
  // PolicyPCR, then PolicyNV.
  [[nodiscard]] Digest policy() const;
  [[nodiscard]] Bytes encode() const;
  // The whole of `bytes`; whether it is signed, verify() says.
  [[nodiscard]] static Result<Approval> parse(ByteView bytes);
  // Refused (unverified): it is for something else, or was not signed by that key.
  [[nodiscard]] Result<void> verify(const PublicArea& approver, const Digest& wanted) const;
};

struct ApprovalTerms {
  Digest reference;
  std::uint32_t counter_index = 0;
  std::uint64_t counter_at_most = 0;
  PcrState state;
};
// `key`: an OpenSSL private key on P-256, which stays the caller's.
[[nodiscard]] Result<Approval> make_approval(ApprovalTerms terms, evp_pkey_st* key);

}  // namespace cs::tpm
