// SPDX-License-Identifier: GPL-3.0-or-later
// Certificates that were found somewhere, read and judged together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "tools/inspect/cert_report.h"
#include "tpm/evidence/public_key.h"

namespace cs::inspect {

struct FoundCertificates {
  std::string name;  // of the file or the index
  std::vector<std::uint8_t> bytes;
};

// Endorsement, attestation and platform certificates are judged; certificates of authorities only
// help to judge them, unless there is nothing else. An endorsement certificate among them is the
// holder of a platform certificate. `roots`: a directory; empty: chains are not checked.
// `endorsed`: the key that endorsement certificates must be of, or why it is not known; null:
// nobody asks.
[[nodiscard]] Result<CertReport> judge_certificates(
    const std::vector<FoundCertificates>& found, const std::string& roots, const Clock& clock,
    const Result<tpm::PublicKey>* endorsed = nullptr);

}  // namespace cs::inspect
