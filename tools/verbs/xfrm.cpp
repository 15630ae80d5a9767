// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign xfrm`.
#include <iostream>
#include <memory>

#include "tools/verbs/verbs.h"
#include "tools/xfrm/show.h"

namespace cs::verbs {
namespace {

void add_show(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<xfrm::ShowOptions>();
  CLI::App& command =
      *family.add_subcommand("show", "Tell the policies and SAs of the kernel, without their keys");
  add_parsed(
      command, "--peer", options->peer,
      [](const std::string& text) { return net::Address::parse(text); },
      "Only what names this gateway")
      ->type_name("ADDRESS");
  command.add_flag("--json", options->json, "Tell it in JSON instead of text");
  command.footer(
      "What `ip xfrm policy` and `ip xfrm state` tell, in words, with the default policy and the "
      "interfaces that IPsec is switched off for, which those do not tell. No key is read. In JSON "
      "\"complete\" is false where the kernel broke off.\n"
      "It needs CAP_NET_ADMIN: run it as root.\n"
      "Exit status: 0 all of it is told, 2 the command line is wrong, 3 the kernel does not "
      "tell.\n"
      "  countersign xfrm show --peer 192.0.2.2");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(xfrm::show(*options, std::cout, std::cerr)); });
}

}  // namespace

void add_xfrm(CLI::App& program, Chosen& chosen) {
  CLI::App& family = *program.add_subcommand("xfrm", "Look at the IPsec this kernel does");
  family.require_subcommand(1);
  add_show(family, chosen);
}

}  // namespace cs::verbs
