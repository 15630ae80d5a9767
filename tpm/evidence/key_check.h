// SPDX-License-Identifier: GPL-3.0-or-later
// What a verifier demands of a key before it takes what the key signed for anything.
#pragma once

#include "tpm/check.h"
#include "tpm/evidence/public_area.h"

namespace cs::tpm {

// The attributes without which a signature on an attestation says nothing: made by this TPM, never
// outside it, and signing nothing that looks like an attestation and is none. Codes: the
// attributes' names ("restricted"), "other_attributes".
[[nodiscard]] Findings check_attestation_attributes(const PublicArea& area);

// Those, and the algorithms that are agreed on: ECDSA on P-256 or RSASSA with 2048 bits, SHA-256.
// Further codes: "name_algorithm", "key_type", "scheme".
[[nodiscard]] Findings check_attestation_key(const PublicArea& area);

// What the core policy says of a signing key that lives in the TPM.
struct SigningKeyPolicy {
  PcrSelection selection;
  Digest composite;  // of those PCRs, with SHA-256
  Scheme scheme = {Algorithm::ecdsa, HashAlgorithm::sha256};
};
// A key that only signs, only in this TPM, and only while its PCRs are as agreed. With userWithAuth
// its password, which may be empty, would do as well; with adminWithPolicy nobody could certify it
// under such a policy. Further code: "policy".
[[nodiscard]] Findings check_signing_key(const PublicArea& area, const SigningKeyPolicy& policy);

}  // namespace cs::tpm
