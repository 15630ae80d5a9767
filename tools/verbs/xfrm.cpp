// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign xfrm`.
#include <iostream>
#include <memory>

#include "tools/verbs/verbs.h"
#include "tools/xfrm/show.h"
#include "tools/xfrm/watch.h"

namespace cs::verbs {
namespace {

void add_show_state(CLI::App& family, Chosen& chosen) {
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

void add_watch(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<xfrm::WatchCommandOptions>();
  CLI::App& command = *family.add_subcommand(
      "watch", "Tell what happens to the policies and SAs of the kernel, as it happens");
  command
      .add_option("--audit", options->audit_seconds,
                  "How often all is read anew, for what the kernel does not tell")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  command
      .add_option("--vici", options->vici,
                  "strongSwan's socket: tell SAs of the kernel that it does not list (do not)")
      ->type_name("SOCKET");
  command
      .add_option("--grace", options->grace_seconds,
                  "With --vici, how long an SA may be in the kernel alone, as while it is replaced")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  command.add_flag("--json", options->json, "Tell it in JSON, an object in each line");
  command.footer(
      "A line for each event, until SIGINT or SIGTERM. Of some things the kernel tells nobody: the "
      "policies of sockets, and the switches of interfaces (disable_xfrm, disable_policy) that "
      "turn IPsec off. An audit finds those, and they are told as not told by the kernel; so is "
      "what was in events that were lost, as when more come than are read. No key is read. In JSON "
      "\"port\" is what who made the change called itself in its request: a process, or 0.\n"
      "It needs CAP_NET_ADMIN: run it as root.\n"
      "Exit status: 0 ended by a signal, 2 the command line is wrong, 3 the kernel does not tell.\n"
      "  countersign xfrm watch --json --vici /run/charon.vici");
  when_chosen(command, chosen, [&chosen, options] {
    return static_cast<int>(xfrm::watch(*options, chosen.clock, std::cout, std::cerr));
  });
}

}  // namespace

void add_xfrm(CLI::App& program, Chosen& chosen) {
  CLI::App& family = *program.add_subcommand("xfrm", "Look at the IPsec this kernel does");
  family.require_subcommand(1);
  add_show_state(family, chosen);
  add_watch(family, chosen);
}

}  // namespace cs::verbs
