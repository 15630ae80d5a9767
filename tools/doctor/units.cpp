// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/doctor/units.h"

#include <sstream>
#include <utility>

namespace cs::doctor {

Result<std::map<std::string, Unit>> read_units(const Machine& machine) {
  if (!machine.has("/run/systemd/system")) {
    return Error(ErrorKind::unsupported, "systemd does not run here");
  }
  CS_TRY(const CommandOutcome told,
         machine.run({"systemctl", "show", "--property",
                      "Id,LoadState,ActiveState,UnitFileState,LimitMEMLOCK", "nfq-signer.service",
                      "nftables.service", "firewalld.service", "ufw.service"}));
  if (told.exit_code != 0) {
    return Error(ErrorKind::io, "systemctl show: " + told.errors.substr(0, told.errors.find('\n')));
  }
  std::map<std::string, Unit> units;
  Unit unit;
  std::istringstream lines(told.output + "\n");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equal = line.find('=');
    if (equal != std::string::npos) {
      unit[line.substr(0, equal)] = line.substr(equal + 1);
    } else if (!unit.empty()) {
      const std::string id = unit["Id"];
      units[id.substr(0, id.rfind(".service"))] = std::exchange(unit, {});
    }
  }
  return units;
}

}  // namespace cs::doctor
