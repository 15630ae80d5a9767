// SPDX-License-Identifier: GPL-3.0-or-later
// What `countersign tpm status` found out, and its two forms.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/inspect/cert_report.h"
#include "tpm/device/status.h"

namespace cs::inspect {

struct TpmReport {
  std::string tcti;
  tpm::Status status;
  std::optional<double> signatures_a_second;
  struct Endorsement {
    std::uint32_t index = 0;  // in NV
    Result<CertReport> certificates;
  };
  std::vector<Endorsement> endorsements;

  [[nodiscard]] bool is_refused() const noexcept;
};

void write_text(const TpmReport& report, std::ostream& out);
void write_json(const TpmReport& report, std::ostream& out);

}  // namespace cs::inspect
