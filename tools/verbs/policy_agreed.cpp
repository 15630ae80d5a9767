// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign policy`: from a proposal to a policy that is in force.
#include <memory>

#include "keyms/policy/words.h"
#include "tools/inspect/console.h"
#include "tools/keymsd/keymsd.h"
#include "tools/verbs/verbs.h"

namespace cs::verbs {
namespace {

using inspect::console;
using keymsd::AgreementOptions;

constexpr const char* agreed_statuses =
    "Exit status: 0 done, 1 refused, by keymsd or for what the file says, 2 the command line is "
    "wrong, 3 keymsd does not answer (systemctl start keymsd), or a file cannot be read or "
    "written.\n";
constexpr const char* an_agreement = "The agreement, which both gateways have signed";

CLI::App& add_verb(CLI::App& family, Chosen& chosen, const std::string& name,
                   const std::string& summary, const std::shared_ptr<AgreementOptions>& options,
                   keymsd::Outcome (*work)(const AgreementOptions&, const keymsd::Console&)) {
  CLI::App& command = *family.add_subcommand(name, summary);
  add_socket(command, options->asking.socket);
  when_chosen(command, chosen,
              [options, work] { return static_cast<int>(work(*options, console())); });
  return command;
}

void add_json(CLI::App& command, AgreementOptions& options) {
  command.add_flag("--json", options.asking.json, "Tell it in JSON instead of text");
}

void add_propose(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<AgreementOptions>();
  CLI::App& command =
      add_verb(family, chosen, "propose", "Sign a core policy, for the other gateway to agree to",
               options, keymsd::propose);
  command.add_option("FILE", options->file, "The core policy: its text or its encoding")
      ->type_name("FILE")
      ->required();
  command.add_option("--out", options->out, "Where the proposal goes")
      ->type_name("FILE")
      ->required();
  command.footer("keymsd signs only what names this gateway with its own attestation key.\n" +
                 std::string(agreed_statuses) +
                 "  countersign policy propose --out berlin-hamburg.cbor policy.toml");
}

void add_agree(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<AgreementOptions>();
  CLI::App& command =
      add_verb(family, chosen, "agree", "Read what the other gateway proposes, and sign it too",
               options, keymsd::agree);
  command.add_option("FILE", options->file, "The proposal")->type_name("FILE")->required();
  command
      .add_option("--fingerprint", options->fingerprint,
                  "The digits that the other operator reads aloud (they are asked for)")
      ->type_name("DIGITS");
  command.add_option("--out", options->out, "Where the agreement goes (in place of the proposal)")
      ->type_name("FILE");
  command.footer(
      "It shows the policy and what it changes, and asks for the digits: have them read aloud by "
      "who made the policy, by telephone, say, and not sent with the file.\n" +
      std::string(agreed_statuses) + "  countersign policy agree berlin-hamburg.cbor");
}

void add_plan(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<AgreementOptions>();
  CLI::App& command =
      add_verb(family, chosen, "plan", "Tell what applying an agreement would change here", options,
               keymsd::plan);
  command.add_option("FILE", options->file, an_agreement)->type_name("FILE")->required();
  add_json(command, *options);
  command.footer("Nothing is changed.\n" + std::string(agreed_statuses) +
                 "  countersign policy plan berlin-hamburg.cbor");
}

void add_apply(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<AgreementOptions>();
  CLI::App& command =
      add_verb(family, chosen, "apply", "Put an agreement in force here", options, keymsd::apply);
  command.add_option("FILE", options->file, an_agreement)->type_name("FILE")->required();
  CLI::Option* fallback =
      command
          .add_option("--fallback", options->fallback,
                      "What is put in force if nobody confirms: an agreement of a higher version")
          ->type_name("FILE");
  CLI::Option* within = add_parsed(
                            command, "--confirm-within", options->confirm_within,
                            [](const std::string& text) -> Result<std::chrono::seconds> {
                              CS_TRY(const std::chrono::seconds time, keyms::parse_duration(text));
                              if (time.count() > 0) return time;
                              return Error(ErrorKind::invalid, "a time of nothing");
                            },
                            "Undo it after so long, as 5m, unless it is confirmed")
                            ->type_name("TIME")
                            ->needs(fallback);
  fallback->needs(within);
  add_json(command, *options);
  command.footer(
      "A gateway only goes forward: so what it falls back to is agreed beforehand, too, as the "
      "version after.\n" +
      std::string(agreed_statuses) +
      "  countersign policy apply --confirm-within 5m --fallback v4.cbor v3.cbor");
}

void add_peer_verb(CLI::App& family, Chosen& chosen, const std::string& name,
                   const std::string& summary, const std::string& text,
                   keymsd::Outcome (*work)(const AgreementOptions&, const keymsd::Console&)) {
  const auto options = std::make_shared<AgreementOptions>();
  CLI::App& command = add_verb(family, chosen, name, summary, options, work);
  command.add_option("PEER", options->peer, "The other gateway, by its NeID")->required();
  add_json(command, *options);
  command.footer(text + agreed_statuses + "  countersign policy " + name + " hamburg-1");
}

void add_rollback(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<AgreementOptions>();
  CLI::App& command =
      add_verb(family, chosen, "rollback",
               "Put the fallback that apply was given in force, or another agreement", options,
               keymsd::roll_back);
  CLI::Option* peer = command.add_option("PEER", options->peer, "The other gateway, by its NeID");
  command.add_option("--file", options->file, "An agreement of a higher version, instead")
      ->type_name("FILE")
      ->excludes(peer);
  command.callback([options, &chosen] {
    if (options->peer.empty() && options->file.empty()) throw CLI::RequiredError("PEER or --file");
    chosen.run = [options] { return static_cast<int>(keymsd::roll_back(*options, console())); };
  });
  add_json(command, *options);
  command.footer(std::string(agreed_statuses) + "  countersign policy rollback hamburg-1");
}

}  // namespace

void add_agreed(CLI::App& policy, Chosen& chosen) {
  add_propose(policy, chosen);
  add_agree(policy, chosen);
  add_plan(policy, chosen);
  add_apply(policy, chosen);
  add_peer_verb(policy, chosen, "confirm", "Keep what was applied, instead of falling back", "",
                keymsd::confirm);
  add_rollback(policy, chosen);
  add_peer_verb(policy, chosen, "retire", "End what was agreed with a peer: all of it is cut",
                "Once retired, a version is never in force again.\n", keymsd::retire);
}

}  // namespace cs::verbs
