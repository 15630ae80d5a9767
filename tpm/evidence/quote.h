// SPDX-License-Identifier: GPL-3.0-or-later
// A quote verified in software: what PCRs a TPM had, when, and for whom.
#pragma once

#include <optional>

#include "tpm/evidence/attest_check.h"

namespace cs::tpm {

struct QuoteExpectations {
  AttestExpectations attest;
  std::optional<PcrSelection> selection;
  const PcrValues* values = nullptr;   // null: not given
  std::optional<ClockInfo> last_seen;  // of the same TPM
  std::optional<std::uint64_t> firmware;
};

struct QuoteReport {
  Attest attest;
  Findings findings;
};

// Every check, in this order, whatever the others find: those of check_attest(), then "selection"
// (registers, banks and their order), "pcr_digest" (recomputed from the values with the hash of the
// signature), "clock" (not gone back), "reset_count", "restart_count", "firmware". The caller's
// verdict is findings.all_hold(), or none_fails() where it can live with what was not checked.
// Refused, with an offset: what is no TPMS_ATTEST at all.
[[nodiscard]] Result<QuoteReport> verify_quote(const SignedAttest& file,
                                               const QuoteExpectations& expected);

}  // namespace cs::tpm
