// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign tpm`.
#include <iostream>
#include <memory>

#include "tools/inspect/tpm_status.h"
#include "tools/verbs/verbs.h"

namespace cs::verbs {

void add_tpm(CLI::App& program, Chosen& chosen) {
  CLI::App& family = *program.add_subcommand("tpm", "Look at the TPM of this machine");
  family.require_subcommand(1);
  const auto options = std::make_shared<inspect::TpmStatusOptions>();
  CLI::App& command = *family.add_subcommand(
      "status", "Tell what the TPM is, what state it is in, and who vouches for it");
  command
      .add_option("--tcti", options->tcti,
                  "How to reach it: device:FILE, swtpm:path=SOCKET or swtpm:host=NAME,port=NUMBER")
      ->type_name("TCTI")
      ->capture_default_str();
  command
      .add_option("--roots", options->roots,
                  "The vendors' root certificates that are trusted (no chain is checked)")
      ->type_name("DIRECTORY");
  command.add_flag_callback(
      "--no-signing", [options] { options->sign_for = {}; },
      "Do not measure how many signatures it makes a second, which takes half a second");
  command.add_flag("--json", options->json, "Report in JSON instead of text");
  command.footer(
      "It needs access to the TPM's device, as root or in the group tss, and no password; nothing "
      "is left in the TPM. A certificate must be of the TPM's own key, which the TPM makes again "
      "if it does not keep it. Lockout: after too many wrong passwords a TPM refuses all that are "
      "protected, for everybody. Free slots: what more fits into it at a time.\n"
      "Exit status: 0 the TPM answers and nothing it holds is refused, 1 an endorsement "
      "certificate is there and does not hold, 2 the command line is wrong, 3 there is no TPM, or "
      "it does not answer.\n"
      "  countersign tpm status --roots /etc/countersign/roots");
  when_chosen(command, chosen, [options, &chosen] {
    return static_cast<int>(inspect::tpm_status(*options, chosen.clock, std::cout, std::cerr));
  });
}

}  // namespace cs::verbs
