// SPDX-License-Identifier: GPL-3.0-or-later
// That a key, or the contents of an NV index, are in the TPM that attests it.
#pragma once

#include <optional>

#include "tpm/evidence/attest_check.h"

namespace cs::tpm {

// TPM2_Certify. Beyond check_attest(): "name", recomputed from the public area, and
// "qualified_name" where the Name of its parent is given (Name::of_handle of its hierarchy for a
// primary key, else the parent's own qualified name). That the key is what it should be is for
// key_check.h. Refused, with an offset: what is no TPMS_ATTEST at all.
[[nodiscard]] Result<Findings> verify_certify(const SignedAttest& file, const PublicArea& subject,
                                              const std::optional<Name>& parent,
                                              const AttestExpectations& expected);

// TPM2_NV_Certify, of contents or, in TPMs of revision 1.59 on, of their digest by the hash of the
// signature. Beyond check_attest(): "name" of the index, "offset", "contents".
struct NvContents {
  NvPublic index;
  std::uint16_t offset = 0;  // a digest is always that of the whole
  Bytes bytes;
};
[[nodiscard]] Result<Findings> verify_nv_certify(const SignedAttest& file,
                                                 const NvContents& contents,
                                                 const AttestExpectations& expected);

}  // namespace cs::tpm
