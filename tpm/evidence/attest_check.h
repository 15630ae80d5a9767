// SPDX-License-Identifier: GPL-3.0-or-later
// What is checked alike for whatever a TPM attests: quote.h, certify.h.
#pragma once

#include <optional>

#include "tpm/check.h"
#include "tpm/evidence/attest.h"
#include "tpm/evidence/public_key.h"

namespace cs::tpm {

// What there is to compare with; what is not given is not checked, and the findings say so.
struct AttestExpectations {
  std::optional<Bytes> qualifying_data;
  std::optional<Name> signer;  // the attestation key's qualified name
};

// The attestation as its signer signed it, with all that came along.
struct SignedAttest {
  ByteView bytes;  // TPMS_ATTEST
  const Signature& signature;
  const PublicKey& key;
};

// Codes: "magic", "type", "key" (its attributes), "scheme" (the key's own, and no SHA-1),
// "signature", "qualifying_data", "signer".
void check_attest(Findings& findings, const SignedAttest& file, const Attest& attest,
                  AttestType wanted, const AttestExpectations& expected);

}  // namespace cs::tpm
