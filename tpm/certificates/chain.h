// SPDX-License-Identifier: GPL-3.0-or-later
// Who vouches for a certificate: the path from it to an anchor in the directory of vendor roots.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "tpm/certificates/certificate.h"
#include "tpm/certificates/vendor_roots.h"

namespace cs::tpm {

// Verified by OpenSSL, at the clock's time, every signature and every period of validity in it,
// with security level 2 (no SHA-1, no RSA below 2048). What an EK certificate's path is not asked
// for:
// - a purpose: OpenSSL knows none that EK certificates have; check() of certificate.h looks at it.
// - revocation: nothing on a gateway can reach a vendor's list, and most vendors publish none. Who
//   must shut out a TPM keeps it out of the policy, or takes the vendor's certificate out of the
//   directory.
// A critical extension is refused unless OpenSSL knows it; the alternative name that TPM vendors
// mark critical it does know.
struct Chain {
  // Codes: chain; issuer_missing, issuer_key_differs, root_not_trusted, no_roots, expired,
  // not_yet_valid, signature, critical_extension, issuer_not_authority, weak, chain_invalid.
  Check check;
  std::vector<std::string> path;  // names, from the certificate on; as far as it was built
};

// `given` are intermediates from elsewhere (an on-die chain, other files), not trusted.
[[nodiscard]] Chain verify_chain(const Certificate& certificate,
                                 const std::vector<const Certificate*>& given,
                                 const VendorRoots& roots, const Clock& clock);

}  // namespace cs::tpm
