// SPDX-License-Identifier: GPL-3.0-or-later
// Data that only this TPM opens, and only in the states of the machine it was sealed for: AES-256-
// GCM, under a key that is an object of the TPM. docs/SEALING.md is the norm.
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/result.h"
#include "tpm/device/primary_keys.h"
#include "tpm/seal/approval.h"
#include "tpm/seal/pcr_change.h"
#include "tpm/seal/sealed_blob.h"

namespace cs::tpm {

// Wiped when it goes. Not locked into memory, as it may be long: copy a key out of it into
// SecretBytes.
class Unsealed {
 public:
  explicit Unsealed(std::size_t size) : bytes_(size) {}
  Unsealed(Unsealed&& other) noexcept = default;
  Unsealed& operator=(Unsealed&&) = delete;
  Unsealed(const Unsealed&) = delete;
  Unsealed& operator=(const Unsealed&) = delete;
  ~Unsealed() {
    if (!bytes_.empty()) explicit_bzero(bytes_.data(), bytes_.size());  // moved from: null
  }

  [[nodiscard]] ByteView bytes() const noexcept { return bytes_; }
  [[nodiscard]] ByteSpan bytes() noexcept { return bytes_; }

 private:
  Bytes bytes_;
};

struct SealTerms {
  SealPolicy policy;
  Auth auth = {};                // policy.auth_value says whether there is one
  std::uint64_t generation = 0;  // for sealed_file.h
};
// `srk`: storage_root_key(). The PCRs need not be in the state it is sealed to.
[[nodiscard]] Result<Bytes> seal(Device& device, VolatileObject& srk, ByteView data,
                                 const SealTerms& terms);

struct UnsealTerms {
  // The public area (approver_area) and the reference that the data must be sealed to, if it is
  // sealed to approved states: what the blob says of them is not believed.
  std::optional<SealPolicy::Approved> approved = {};
  std::span<const Approval> approvals = {};
  Auth auth = {};
  PcrLogs logs = {};  // for errors to say what has changed the PCRs
};
// Refused, each with a sentence of its own: denied, the PCRs have other values (which, and if the
// logs tell, since which event), no approval is for this state, the approval is retired, the auth
// value is wrong; unverified, another TPM sealed it, or somebody changed it or an approval.
[[nodiscard]] Result<Unsealed> unseal(Device& device, VolatileObject& srk, const SealedBlob& blob,
                                      const UnsealTerms& terms);

}  // namespace cs::tpm
