// SPDX-License-Identifier: GPL-3.0-or-later
// The operator's command line. What the commands do is in the folders beside this file.

#include <exception>
#include <iostream>
#include <string>

#include "tools/cli/app.h"
#include "tools/cli/completion.h"
#include "tools/cli/manual.h"
#include "tools/verbs/verbs.h"

namespace {

using cs::verbs::Chosen;
using cs::verbs::when_chosen;

constexpr int wrong = 2;  // the command line, or the place of the answer

void add_completion(CLI::App& program, Chosen& chosen) {
  const auto shell = std::make_shared<std::string>();
  CLI::App& command =
      *program.add_subcommand("completion", "Print the script that completes these commands");
  command.add_option("SHELL", *shell, "The shell it is for")
      ->type_name("bash|zsh|fish")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->required();
  command.footer(
      "An installed Countersign completes already; this is for one that is not.\n"
      "  source <(countersign completion bash)");
  when_chosen(command, chosen, [&program, shell] {
    const cs::cli::Tree tree = cs::cli::describe(program);
    std::cout << (*shell == "bash"  ? cs::cli::bash_completion(tree)
                  : *shell == "zsh" ? cs::cli::zsh_completion(tree)
                                    : cs::cli::fish_completion(tree));
    return 0;
  });
}

// For the build, which installs what it prints.
void add_manual(CLI::App& program, Chosen& chosen) {
  CLI::App& command = *program.add_subcommand("manual", "Print the manual page");
  command.group("");
  when_chosen(command, chosen, [&program] {
    std::cout << cs::cli::manual(
        cs::cli::describe(program),
        {{"EXIT STATUS",
          "As each command tells. In all of them 0 is good, 1 says that something read does not "
          "verify, 2 that the command line is wrong or the answer could not be written."},
         {"SEE ALSO", "`nfq-signer`(8), `nfq-bench`(8)"}});
    return 0;
  });
}

int answer(CLI::App& program, Chosen& chosen, int argc, char** argv) {
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help or --version
    return program.exit(wanted);
  } catch (const CLI::ParseError& error) {
    std::cerr << "countersign: " << cs::cli::wrong_usage(program, error);
    return wrong;
  }
  if (chosen.run) return chosen.run();
  std::cout << program.help();
  return 0;
}

int run(int argc, char** argv) {
  CLI::App program{"operate an attested IPsec gateway", "countersign"};
  program.set_version_flag("--version", "countersign " CS_VERSION, "Print the version");
  program.footer(
      "The operator's command of Countersign. It needs no privileges but where a command says so.\n"
      "Manual: `man countersign`");
  cs::cli::set_up_help(program);
  const cs::SystemClock clock;
  Chosen chosen{clock, {}};
  cs::verbs::add_keymsd(program, chosen);
  cs::verbs::add_recovery(program, chosen);
  cs::verbs::add_packet(program, chosen);
  cs::verbs::add_key(program, chosen);
  cs::verbs::add_inspect(program, chosen);
  cs::verbs::add_tpm(program, chosen);
  cs::verbs::add_policy(program, chosen);
  cs::verbs::add_xfrm(program, chosen);
  cs::verbs::add_gate(program, chosen);
  cs::verbs::add_digest_list(program, chosen);
  cs::verbs::add_approve(program, chosen);
  cs::verbs::add_doctor(program, chosen);
  add_completion(program, chosen);
  add_manual(program, chosen);
  const int outcome = answer(program, chosen, argc, argv);
  std::cout.flush();
  if (std::cout) return outcome;
  std::cerr << "countersign: writing the answer to standard output\n";
  return wrong;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "countersign: " << error.what() << '\n';
    return wrong;
  }
}
