// SPDX-License-Identifier: GPL-3.0-or-later
// What `countersign` does at a gateway's TPM itself: `init` and `recover`.
#include <memory>

#include "keyms/ne_id.h"
#include "tools/inspect/console.h"
#include "tools/keymsd/keymsd.h"
#include "tools/verbs/verbs.h"

namespace cs::verbs {
namespace {

using inspect::console;

void add_config(CLI::App& command, std::string& config) {
  command.add_option("--config", config, "keymsd's configuration")
      ->type_name("FILE")
      ->capture_default_str();
}

void add_init(CLI::App& program, Chosen& chosen) {
  const auto options = std::make_shared<keymsd::InitOptions>();
  CLI::App& command = *program.add_subcommand(
      "init", "Set this gateway up: its attestation key, its counter, its store");
  add_parsed(
      command, "NEID", options->ne_id,
      [](const std::string& text) -> Result<std::string> {
        if (keyms::is_ne_id(text)) return text;
        return Error(ErrorKind::invalid, "'" + text + "' is no name of a gateway")
            .with_hint("a lower-case letter, then lower-case letters, digits and '-', at most 16");
      },
      "What this gateway is called, at most 16 characters")
      ->required();
  add_config(command, options->config);
  command
      .add_option("--user", options->user,
                  "Who gets the state directory, if root runs this; \"\" leaves it as it is")
      ->type_name("USER")
      ->capture_default_str();
  command.footer(
      "It needs the TPM, and keymsd stopped: run it as root. What is there already it leaves as it "
      "is, and tells the same. The key and its digits are what the other operator needs.\n"
      "Exit status: 0 all of it is there, 1 what is there is refused (countersign recover), 2 the "
      "command line is wrong, 3 the configuration cannot be read, the TPM does not answer, or "
      "keymsd runs.\n"
      "  countersign init berlin-1");
  when_chosen(command, chosen, [options, &chosen] {
    return static_cast<int>(keymsd::init(*options, chosen.clock, console()));
  });
}

void add_recover(CLI::App& program, Chosen& chosen) {
  const auto options = std::make_shared<keymsd::RecoverOptions>();
  CLI::App& command = *program.add_subcommand(
      "recover", "Tell why this gateway does not run, what is lost, and what to type");
  CLI::Option* request =
      command.add_option("--request", options->request, "Write a request for the approver there")
          ->type_name("FILE");
  command
      .add_option("--agreement", options->agreement,
                  "The request is for the state that applying it leads to (the state as it is)")
      ->type_name("FILE")
      ->needs(request);
  CLI::Option* approval =
      command.add_option("--approval", options->approval, "Give keymsd what the approver signed")
          ->type_name("FILE")
          ->excludes(request);
  command
      .add_flag("--begin-anew", options->begin_anew,
                "Set the state directory aside, so that init makes a new one")
      ->excludes(request)
      ->excludes(approval);
  command.add_flag("--yes", options->yes, "Do not ask for the NeID to be typed");
  command.add_option("--socket", options->socket, "keymsd's control socket (as configured)")
      ->type_name("FILE");
  add_config(command, options->config);
  command.footer(
      "Where keymsd does not run it opens TPM and store itself, as root. It never makes the store "
      "open where it would not: the former state comes back, or is approved, or the gateway begins "
      "anew.\n"
      "Exit status: 0 nothing is wrong, or what was asked for is done, 1 something is to be "
      "recovered, or is refused, 2 the command line is wrong, 3 the configuration cannot be read, "
      "or neither TPM nor keymsd answers.\n"
      "  countersign recover --request request.bin");
  when_chosen(command, chosen, [options, &chosen] {
    return static_cast<int>(keymsd::recover(*options, chosen.clock, console()));
  });
}

}  // namespace

void add_recovery(CLI::App& program, Chosen& chosen) {
  add_init(program, chosen);
  add_recover(program, chosen);
}

}  // namespace cs::verbs
