// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "tpm/device/device.h"
#include "tpm/device/key_blobs.h"
#include "tpm/device/primary_keys.h"
#include "tpm/device/session.h"
#include "tpm/pcr.h"
#include "tpm/sign_command.h"

namespace cs::tpm {

// An ECDSA P-256 key that signs only while PCRs have given values: fixedTPM, fixedParent,
// sensitiveDataOrigin, sign, noDA, and nothing else. With userWithAuth an empty password would do.
class SigningKey {
 public:
  struct Policy {
    PcrSelection selection;
    Digest composite{HashAlgorithm::sha256};  // PcrValues::composite, SHA-256
  };
  // Below the storage root key. The key is made whatever the registers hold now.
  [[nodiscard]] static Result<KeyBlobs> create(Device& device, SaltedSession& session,
                                               const Policy& policy, const Auth& owner = {});
  SigningKey(KeyBlobs blobs, Policy policy, Auth owner = {});

  // Uncompressed.
  [[nodiscard]] static Result<std::array<std::uint8_t, 65>> public_key(const KeyBlobs& blobs);

  // Of a SHA-256 digest, at the TPM's own speed. Refused (denied): the registers hold something
  // else, and most of them will until the machine is started again. With Retry::anew nothing was
  // signed, and the next call loads what it needs.
  [[nodiscard]] Result<EcdsaSignature> sign(Device& device, const Digest& digest);

  [[nodiscard]] VolatileObject& object() noexcept { return object_; }

 private:
  Result<EcdsaSignature> try_to_sign(Device& device, const Digest& digest);

  Policy policy_;
  VolatileObject object_;
  std::optional<Session> session_;  // kept: the policy is repeated on it for each signature
};

}  // namespace cs::tpm
