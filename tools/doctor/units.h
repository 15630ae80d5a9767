// SPDX-License-Identifier: GPL-3.0-or-later
// What systemd knows of the services that matter here.
#pragma once

#include <map>
#include <string>

#include "tools/doctor/machine.h"

namespace cs::doctor {

using Unit = std::map<std::string, std::string>;  // property: value

// By their names without ".service". Asked all at once, as each call costs.
Result<std::map<std::string, Unit>> read_units(const Machine& machine);

}  // namespace cs::doctor
