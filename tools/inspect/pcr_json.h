// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <nlohmann/json.hpp>

#include "tpm/pcr.h"

namespace cs::inspect {

// {"sha256": {"0": "hex", …}, …}
[[nodiscard]] inline nlohmann::ordered_json to_json(const tpm::PcrValues& values) {
  auto json = nlohmann::ordered_json::object();
  for (const auto& [algorithm, bank] : values.banks()) {
    auto& registers = json[std::string(to_string(algorithm))];
    for (std::uint32_t pcr = 0; pcr < tpm::pcr_count; ++pcr) {
      if (bank.at(pcr)) registers[std::to_string(pcr)] = bank.at(pcr)->hex();
    }
  }
  return json;
}

}  // namespace cs::inspect
