// SPDX-License-Identifier: GPL-3.0-or-later
// For tpm/*.cpp only: what a restricted key needs to sign a document.
#pragma once

#include "tpm/device/esys.h"
#include "tpm/device/session.h"

namespace cs::tpm {

struct TicketedDigest {
  TPM2B_DIGEST digest;
  TPMT_TK_HASHCHECK
  ticket;  // the TPM's word that it hashed this, and that it did not say it itself
};

// SHA-256 by the TPM, in one command or in a sequence of them. Refused (unverified): it is not what
// we get; (invalid): the document begins like a TPMS_ATTEST.
[[nodiscard]] Result<TicketedDigest> hash_with_ticket(Device& device, SaltedSession& session,
                                                      ByteView document);

}  // namespace cs::tpm
