// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign digest-list`.
#include "tools/digest_list/digest_list.h"

#include <iostream>
#include <memory>

#include "tools/verbs/verbs.h"

namespace cs::verbs {
namespace {

constexpr const char* list_statuses =
    "Exit status: 0 done, 2 the command line is wrong, 3 a file could not be read or is not what "
    "it should be.\n";

void add_make_list(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<digest_list::MakeOptions>();
  CLI::App& command =
      *family.add_subcommand("make", "Print a list of every file below a directory, unsigned");
  command.add_option("DIR", options->directory, "The directory")->type_name("DIR")->required();
  command
      .add_option("--as", options->as, "Where the files lie on the gateway (where they lie here)")
      ->type_name("PATH");
  command.add_option("--name", options->name, "The list's name, for people")
      ->type_name("NAME")
      ->required();
  command.add_option("--list-version", options->version, "The list's version, for people")
      ->type_name("NUMBER")
      ->capture_default_str();
  command.footer(
      "By the SHA-256 of what is in them; symbolic links are not followed. Make it of an image you "
      "trust, not of a gateway that runs.\n" +
      std::string(list_statuses) +
      "  countersign digest-list make --name debian-12 --as /usr image/usr > list");
  when_chosen(command, chosen, [options] {
    return static_cast<int>(digest_list::make(*options, std::cout, std::cerr));
  });
}

void add_sign_list(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<digest_list::SignOptions>();
  CLI::App& command = *family.add_subcommand("sign", "Print a list, signed");
  command.add_option("LIST", options->list, "The list; a signature it has is replaced")
      ->type_name("LIST")
      ->required();
  command.add_option("--key", options->key, "The private key, Ed25519 or P-256, in PEM")
      ->type_name("FILE")
      ->required();
  command.footer(
      "The key belongs off the gateways: who has it says which files may run on them. A policy "
      "names it by the SHA-256 that `countersign digest-list check` shows.\n" +
      std::string(list_statuses) +
      "  countersign digest-list sign --key list.key list > list.signed");
  when_chosen(command, chosen, [options] {
    return static_cast<int>(digest_list::sign(*options, std::cout, std::cerr));
  });
}

void add_check_list(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<digest_list::CheckOptions>();
  CLI::App& command = *family.add_subcommand("check", "Tell what a list is, and who signed it");
  command.add_option("LIST", options->list, "The list")->type_name("LIST")->required();
  command.add_flag("--json", options->json, "Report in JSON instead of text");
  command.footer(
      "The key is told as a policy names it in list_keys: the SHA-256 of its "
      "SubjectPublicKeyInfo.\n"
      "Exit status: 0 it is signed, 1 nobody has signed it or the signature does not hold, 2 the "
      "command line is wrong, 3 the file could not be read or is no list.\n"
      "  countersign digest-list check list.signed");
  when_chosen(command, chosen, [options] {
    return static_cast<int>(digest_list::check(*options, std::cout, std::cerr));
  });
}

}  // namespace

void add_digest_list(CLI::App& program, Chosen& chosen) {
  CLI::App& family = *program.add_subcommand(
      "digest-list", "Make and sign lists of the files that may be used on a gateway");
  family.require_subcommand(1);
  add_make_list(family, chosen);
  add_sign_list(family, chosen);
  add_check_list(family, chosen);
}

}  // namespace cs::verbs
