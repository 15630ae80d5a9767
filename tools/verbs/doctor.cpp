// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign doctor`.
#include "tools/doctor/doctor.h"

#include <iostream>
#include <memory>

#include "tools/verbs/verbs.h"

namespace cs::verbs {

void add_doctor(CLI::App& program, Chosen& chosen) {
  const auto options = std::make_shared<doctor::Options>();
  CLI::App& command = *program.add_subcommand(
      "doctor", "Tell whether this machine can be a gateway, and what mends it");
  command.add_option("--only", options->only, "Make this check alone; may be given several times")
      ->type_name("CODE")
      ->allow_extra_args(false);
  command.add_flag("--json", options->json, "Report in JSON instead of text");
  command.footer(
      "Each check has a code that never changes its meaning, a verdict (good; warning: a gateway, "
      "with less than it could have; bad: no gateway; unchecked: nobody knows, and why), and where "
      "there is one the command that mends it. It needs root. It changes nothing: what has to be "
      "tried is tried in a network namespace of its own, for which the kernel may load modules.\n"
      "Exit status: 0 this machine can be a gateway, 1 it cannot, 2 the command line is wrong, 3 "
      "nobody knows: a check that decides could not be made.\n"
      "  countersign doctor");
  when_chosen(command, chosen, [options, &chosen] {
    return static_cast<int>(
        doctor::run(*options, doctor::this_machine(chosen.clock), std::cout, std::cerr));
  });
}

}  // namespace cs::verbs
