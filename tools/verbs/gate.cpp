// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign gate`.
#include "tools/gate/gate.h"

#include <iostream>
#include <memory>

#include "tools/verbs/verbs.h"

namespace cs::verbs {
namespace {

constexpr const char* gate_statuses =
    "Exit status: 0 done, 2 the command line is wrong, 3 it could not be done: the gate is as it "
    "was, or closed.\n";

void add_set_up(CLI::App& family, Chosen& chosen) {
  struct Set {
    gate::SetUpOptions options;
    bool ike = false;
    bool nft = false;
    bool iptables = false;
  };
  const auto set = std::make_shared<Set>();
  CLI::App& command = *family.add_subcommand(
      "set-up", "Close the gate to the IPsec of these peers, or adopt the one that is there");
  const auto take = [set](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      auto peer = gate::parse_peer(text);
      if (!peer.ok()) throw CLI::ValidationError(peer.error().message());
      set->options.config.peers.push_back(std::move(*peer));
    }
  };
  command
      .add_option_function<std::vector<std::string>>("--peer", take,
                                                     "A peer and its addresses; once for each")
      ->type_name("NAME=ADDRESS[,ADDRESS...]")
      ->required();
  command.add_flag("--ike", set->ike, "Close it to their IKE, too");
  command.add_flag("--only-peers", set->options.config.only_peers,
                   "Drop the IPsec of everybody who is no peer, too");
  command.add_option("--port", set->options.config.udp_ports, "Our port of ESP in UDP and IKE")
      ->type_name("NUMBER")
      ->capture_default_str();
  command
      .add_option("--translator", set->options.config.translator_port,
                  "Our port of nfq-signer's translator")
      ->type_name("NUMBER");
  command
      .add_option("--hold", set->options.config.held_queue,
                  "The queue that packets of an SA not admitted go to, instead of being dropped")
      ->type_name("NUMBER");
  CLI::Option* nft = command.add_flag("--nft", set->nft, "By nftables, or not at all");
  command.add_flag("--iptables", set->iptables, "By iptables")->excludes(nft);
  command.add_flag("--keep", set->options.keep, "Stay, and put it back, closed, when it is lost");
  command.footer(
      "Closed means that none of a peer's ESP and AH, bare or in UDP, comes in or goes out, and "
      "that none of it reaches nfq-signer. All else passes. One that is there already and was made "
      "with the same options stays as it is, open where it is open.\n" +
      std::string(gate_statuses) +
      "  countersign gate set-up --peer branch=192.0.2.2,2001:db8::2 --ike");
  when_chosen(command, chosen, [set] {
    for (auto& peer : set->options.config.peers) peer.ike = set->ike;
    if (set->nft) set->options.kind = xfrm::GateKind::nft;
    if (set->iptables) set->options.kind = xfrm::GateKind::iptables;
    return static_cast<int>(gate::set_up(set->options, std::cout, std::cerr));
  });
}

void add_show_gate(CLI::App& family, Chosen& chosen) {
  const auto json = std::make_shared<bool>(false);
  CLI::App& command =
      *family.add_subcommand("show", "Tell who the gate is open to, and what it counted");
  command.add_flag("--json", *json, "Report in JSON instead of text");
  command.footer(
      "Counted for each peer, in and out: closed, ike (of a closed peer), fragment (nobody "
      "reassembled it), unknown (an SA that was not admitted), held (the same, to the queue), "
      "passed.\n"
      "Exit status: 0 the gate stands, 1 something of it is missing, 2 the command line is wrong, "
      "3 there is none, or it cannot be read.\n"
      "  countersign gate show --json");
  when_chosen(command, chosen,
              [json] { return static_cast<int>(gate::show(*json, std::cout, std::cerr)); });
}

void add_open(CLI::App& family, Chosen& chosen) {
  struct Open {
    gate::OpenOptions options;
    bool without_attestation = false;
  };
  const auto open = std::make_shared<Open>();
  CLI::App& command =
      *family.add_subcommand("open", "Let a peer's IPsec pass without its attestation");
  command.add_option("PEER", open->options.peer, "The peer, by its name")->required();
  command
      .add_flag("--without-attestation", open->without_attestation,
                "That this is meant: nothing shows that the peer is what it should be")
      ->required();
  const auto take = [open](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      auto sa = gate::parse_sa(text);
      if (!sa.ok()) throw CLI::ValidationError(sa.error().message());
      open->options.sas.push_back(*sa);
    }
  };
  command
      .add_option_function<std::vector<std::string>>("--sa", take, "Only this SA; once for each")
      ->type_name("DESTINATION/esp|ah/0xSPI");
  command.footer(
      "keymsd closes it again when it next judges the peer. What nfq-signer demands and the marks "
      "of SAs hold all the same.\n" +
      std::string(gate_statuses) + "  countersign gate open --without-attestation branch");
  when_chosen(command, chosen,
              [open] { return static_cast<int>(gate::open(open->options, std::cout, std::cerr)); });
}

void add_close(CLI::App& family, Chosen& chosen) {
  struct Close {
    std::string peer;
    bool all = false;
  };
  const auto close = std::make_shared<Close>();
  CLI::App& command =
      *family.add_subcommand("close", "Drop a peer's IPsec, and forget the SAs that were admitted");
  CLI::Option* peer = command.add_option("PEER", close->peer, "The peer, by its name");
  command.add_flag("--all", close->all, "Every peer; fine where there is no gate")->excludes(peer);
  command.footer(std::string(gate_statuses) + "  countersign gate close branch");
  command.callback([close, &chosen] {
    if (close->peer.empty() && !close->all) throw CLI::RequiredError("PEER or --all");
    chosen.run = [close] {
      return static_cast<int>(close->all ? gate::close_all(std::cout, std::cerr)
                                         : gate::close(close->peer, std::cout, std::cerr));
    };
  });
}

void add_remove(CLI::App& family, Chosen& chosen) {
  CLI::App& command = *family.add_subcommand("remove", "Take the gate away: all IPsec passes");
  command.footer(std::string(gate_statuses) + "  countersign gate remove");
  when_chosen(command, chosen, [] { return static_cast<int>(gate::remove(std::cout, std::cerr)); });
}

}  // namespace

void add_gate(CLI::App& program, Chosen& chosen) {
  CLI::App& family =
      *program.add_subcommand("gate", "Look at and work the gate for the peers' IPsec, as root");
  family.require_subcommand(1);
  add_set_up(family, chosen);
  add_show_gate(family, chosen);
  add_open(family, chosen);
  add_close(family, chosen);
  add_remove(family, chosen);
}

}  // namespace cs::verbs
