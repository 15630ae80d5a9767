// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/outcome.h"

#include <nlohmann/json.hpp>
#include <ostream>

namespace cs::inspect {

Outcome fail(const Error& error, Outcome outcome, bool json, std::ostream& out, std::ostream& err) {
  err << "countersign: " << error.message() << "\n";
  if (json) {
    const nlohmann::ordered_json report{
        {"schema_version", schema_version},
        {"complete", false},
        {"error", {{"kind", to_string(error.kind())}, {"message", error.message()}}}};
    out << report.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
  }
  return outcome;
}

}  // namespace cs::inspect
