// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/error_json.h"

#include <nlohmann/json.hpp>
#include <ostream>

#include "tools/inspect/outcome.h"

namespace cs::inspect {

void write_error_json(const Error& error, std::ostream& out) {
  const nlohmann::ordered_json json{
      {"schema_version", schema_version},
      {"complete", false},
      {"error", {{"kind", to_string(error.kind())}, {"message", error.message()}}}};
  out << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
}

}  // namespace cs::inspect
