// SPDX-License-Identifier: GPL-3.0-or-later
// For tools/inspect/*_report.cpp only: a report on certificates as a part of another one's JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "tools/inspect/cert_report.h"

namespace cs::inspect {

// verdict, certificates, skipped_roots.
[[nodiscard]] nlohmann::ordered_json to_json(const CertReport& report);

}  // namespace cs::inspect
