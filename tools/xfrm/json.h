// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's IPsec state in JSON, the same in every command. Numbers that people write in
// hexadecimal (SPIs, marks) are texts; what is not there, or is the usual, is left out.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "xfrm/state/model.h"

namespace cs::xfrm {

[[nodiscard]] nlohmann::ordered_json to_json(const Sa& sa);
[[nodiscard]] nlohmann::ordered_json to_json(const Policy& policy);
[[nodiscard]] nlohmann::ordered_json to_json(const Defaults& defaults);
[[nodiscard]] nlohmann::ordered_json to_json(const InterfaceSwitches& switches);

}  // namespace cs::xfrm
