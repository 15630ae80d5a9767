// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign tpm status`: what the TPM of this machine is, what state it is in, who vouches for
// it.
#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

#include "base/clock.h"
#include "tools/inspect/outcome.h"

namespace cs::inspect {

struct TpmStatusOptions {
  std::string tcti = "device:/dev/tpmrm0";
  std::string roots;                        // as CertOptions
  std::chrono::milliseconds sign_for{500};  // how long signatures are counted; 0: not at all
  bool json = false;
};

// Good also where there is no certificate, or no roots to check it with: it says so. Refused: a
// certificate is there and does not hold. Unreadable: there is no TPM, or it does not answer.
[[nodiscard]] Outcome tpm_status(const TpmStatusOptions& options, const Clock& clock,
                                 std::ostream& out, std::ostream& err);

}  // namespace cs::inspect
