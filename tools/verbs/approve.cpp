// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign approve`.
#include "tools/approve/approve.h"

#include <iostream>
#include <memory>

#include "base/hex.h"
#include "tools/verbs/verbs.h"

namespace cs::verbs {
namespace {

// "sha256:HEX"
Result<tpm::Digest> parse_digest(const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto algorithm = tpm::hash_algorithm(std::string_view(text).substr(0, colon));
  if (colon == std::string::npos || !algorithm) {
    return Error(ErrorKind::invalid, "'" + text + "' is no digest, as in sha256:HEX");
  }
  CS_TRY(const auto bytes, hex_decode(std::string_view(text).substr(colon + 1), tpm::Digest::most));
  return tpm::Digest::from(*algorithm, bytes);
}

}  // namespace

void add_approve(CLI::App& program, Chosen& chosen) {
  const auto options = std::make_shared<approve::Options>();
  CLI::App& command = *program.add_subcommand(
      "approve", "Sign that a gateway's secrets may be opened in the state it asks for");
  command
      .add_option("REQUEST", options->request, "What the gateway asks for: its recover --request")
      ->type_name("REQUEST")
      ->required();
  command.add_option("--key", options->key, "The approver's private key on P-256, in PEM")
      ->type_name("FILE")
      ->required();
  command.add_option("--out", options->out, "Where the approval goes")
      ->type_name("FILE")
      ->required();
  command
      .add_option_function<std::vector<std::string>>(
          "--explained",
          [options](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              const auto parsed = parse_digest(text);
              if (!parsed.ok()) throw CLI::ValidationError(parsed.error().message());
              options->explained.push_back(*parsed);
            }
          },
          "What others extend the gateway's static register with (its explained_static); may be "
          "repeated")
      ->type_name("DIGEST");
  command.add_flag("--yes", options->yes, "Do not ask for the request's digits");
  command.footer(
      "Shows all that the gateway's static register has been told, and asks for the digits that "
      "its "
      "operator reads aloud. The key belongs off the gateways, and so does this command.\n"
      "Exit status: 0 it is signed, 1 it is not to be signed, 2 the command line is wrong, 3 a "
      "file "
      "could not be read or written, or is not what it should be.\n"
      "  countersign approve --key approver.key --out approval request");
  when_chosen(command, chosen, [options] {
    return static_cast<int>(approve::approve(*options, std::cin, std::cout, std::cerr));
  });
}

}  // namespace cs::verbs
