// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a vendor we trust vouches for a gateway's TPM, and what a credential is made for that
// only this TPM can open.
#pragma once

#include <string>

#include "base/clock.h"
#include "keyms/policy/core_policy.h"
#include "tpm/certificates/vendor_roots.h"
#include "tpm/evidence/public_area.h"

namespace cs::keyms {

struct Endorsement {
  tpm::PublicArea area;  // for tpm::make_credential()
  std::string vouched;   // "STM TPM EK, by STM TPM Root CA"
};

// The certificate of this key (TPMT_PUBLIC) among those the gateway has sent, one after the other,
// if it is as its kind must be and leads to a root. Refused (unverified): there is none; what is
// wrong with it.
[[nodiscard]] Result<Endorsement> find_endorsement(ByteView key, ByteView certificates,
                                                   const tpm::VendorRoots& roots,
                                                   const Clock& clock);

// Of all that a directory holds, whatever its files are called.
[[nodiscard]] Hash hash_of(const tpm::VendorRoots& roots);

}  // namespace cs::keyms
