// SPDX-License-Identifier: GPL-3.0-or-later
// TPM2_MakeCredential without a TPM: a secret that only the TPM with this endorsement key can
// recover, and only while it holds the object with this Name.
#pragma once

#include "base/secret.h"
#include "tpm/evidence/public_area.h"

namespace cs::tpm {

// Both as TPM2_ActivateCredential takes them, with their lengths in front.
struct Credential {
  Bytes id_object;         // TPM2B_ID_OBJECT
  Bytes encrypted_secret;  // TPM2B_ENCRYPTED_SECRET
};

// `endorsement_key` is a storage key, RSA or on P-256, P-384 or P-521, with AES in CFB mode: what
// the TCG's templates make. That it belongs to a TPM is for its certificate to prove. Refused:
// another kind of key, an empty secret or one longer than the key's name digest.
[[nodiscard]] Result<Credential> make_credential(const PublicArea& endorsement_key,
                                                 const Name& object, const SecretBytes& secret);

}  // namespace cs::tpm
