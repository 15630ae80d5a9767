// SPDX-License-Identifier: GPL-3.0-or-later
// What `countersign` asks keymsd.
#include "tools/keymsd/keymsd.h"

#include <memory>

#include "tools/inspect/console.h"
#include "tools/verbs/verbs.h"

namespace cs::verbs {
namespace {

using inspect::console;

constexpr const char* keymsd_statuses =
    "Exit status: 0 done, 1 keymsd refuses, 2 the command line is wrong, 3 keymsd does not answer "
    "(systemctl start keymsd).\n";
constexpr const char* granted_statuses =
    "Exit status: 0 granted, 1 not granted, or keymsd refuses, 2 the command line is wrong, 3 "
    "keymsd does not answer (systemctl start keymsd).\n";

void add_asking(CLI::App& command, keymsd::Asking& asking, bool json = true) {
  add_socket(command, asking.socket);
  if (json) command.add_flag("--json", asking.json, "Report in JSON instead of text");
}

void add_peer(CLI::App& command, std::string& peer) {
  command.add_option("PEER", peer, "The other gateway, by its NeID")->required();
}

void add_status(CLI::App& program, Chosen& chosen) {
  struct Set {
    keymsd::StatusOptions options;
    std::uint32_t wait = 0;
  };
  const auto set = std::make_shared<Set>();
  CLI::App& command = *program.add_subcommand(
      "status", "Tell how this gateway and its peers stand, and what is to be mended");
  command.add_option("--wait", set->wait, "Wait so long at most until all is well")
      ->type_name("SECONDS")
      ->check(CLI::Range(0, 86400));
  add_asking(command, set->options.asking);
  command.footer(
      "SAs are told as admitted/known. Each fault has with it what mends it.\n"
      "Exit status: 0 keymsd is ready, without a fault, and every peer is granted, 1 not so, 2 the "
      "command line is wrong, 3 keymsd does not answer (systemctl start keymsd).\n"
      "  countersign status --wait 60");
  when_chosen(command, chosen, [set] {
    set->options.wait = std::chrono::seconds(set->wait);
    return static_cast<int>(keymsd::status(set->options, console()));
  });
}

void add_peers(CLI::App& program, Chosen& chosen) {
  const auto asking = std::make_shared<keymsd::Asking>();
  CLI::App& command =
      *program.add_subcommand("peers", "Tell how each peer stands, and until when it is granted");
  add_asking(command, *asking);
  command.footer(std::string(granted_statuses) + "  countersign peers --json");
  when_chosen(command, chosen,
              [asking] { return static_cast<int>(keymsd::peers(*asking, console())); });
}

void add_attest(CLI::App& program, Chosen& chosen) {
  struct Set {
    keymsd::PeerOptions options;
    std::uint32_t wait = 30;
  };
  const auto set = std::make_shared<Set>();
  CLI::App& command =
      *program.add_subcommand("attest", "Attest with a peer now, and tell how it ended");
  add_peer(command, set->options.peer);
  command.add_option("--wait", set->wait, "How long to wait for the end")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  add_asking(command, set->options.asking);
  command.footer("It also begins anew what was denied.\n" + std::string(granted_statuses) +
                 "  countersign attest hamburg-1");
  when_chosen(command, chosen, [set] {
    set->options.wait = std::chrono::seconds(set->wait);
    return static_cast<int>(keymsd::attest(set->options, console()));
  });
}

void add_explain(CLI::App& program, Chosen& chosen) {
  const auto options = std::make_shared<keymsd::PeerOptions>();
  CLI::App& command = *program.add_subcommand(
      "explain", "Tell why a peer is granted or not: what was judged, and what to do");
  add_peer(command, options->peer);
  add_asking(command, options->asking);
  command.footer(std::string(granted_statuses) + "  countersign explain hamburg-1");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(keymsd::explain(*options, console())); });
}

void add_certs(CLI::App& program, Chosen& chosen) {
  const auto asking = std::make_shared<keymsd::Asking>();
  CLI::App& command = *program.add_subcommand(
      "certs", "Tell this endpoint's certificate and the session keys, and when each ends");
  add_asking(command, *asking);
  command.footer(std::string(keymsd_statuses) + "  countersign certs");
  when_chosen(command, chosen,
              [asking] { return static_cast<int>(keymsd::certs(*asking, console())); });
}

void add_log(CLI::App& program, Chosen& chosen) {
  const auto options = std::make_shared<keymsd::LogOptions>();
  CLI::App& command = *program.add_subcommand(
      "log", "Tell what this gateway has measured into its registers since it booted");
  command.add_option("LOG", options->which, "Which of the two (both)")
      ->type_name("static|event")
      ->check(CLI::IsMember({"static", "event"}));
  command
      .add_option("--save", options->directory,
                  "Write them there too, as they are: static.cel, event.cel")
      ->type_name("DIRECTORY");
  add_asking(command, options->asking);
  command.footer(
      "Each record with its number, its event, and its digest or text.\n"
      "Exit status: 0 each log makes the value its register has, 1 one does not, or it cannot be "
      "read, 2 the command line is wrong, 3 keymsd does not answer (systemctl start keymsd), or a "
      "file cannot be written.\n"
      "  countersign log event");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(keymsd::log(*options, console())); });
}

void add_events(CLI::App& program, Chosen& chosen) {
  const auto options = std::make_shared<keymsd::EventsOptions>();
  CLI::App& command =
      *program.add_subcommand("events", "Tell what keymsd has told lately, the newest last");
  command.add_flag("--follow", options->follow, "Go on with what happens, until it is stopped");
  command.add_option("--peer", options->peer, "Only what concerns this peer")->type_name("NEID");
  add_socket(command, options->asking.socket);
  command.add_flag("--json", options->asking.json, "Each in a line of JSON");
  command.footer("The journal has the same: `journalctl -u keymsd`.\n" +
                 std::string(keymsd_statuses) + "  countersign events --follow --peer hamburg-1");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(keymsd::events(*options, console())); });
}

void add_acknowledge(CLI::App& program, Chosen& chosen) {
  const auto options = std::make_shared<keymsd::PeerOptions>();
  CLI::App& command =
      *program.add_subcommand("acknowledge", "Let a peer be granted again, whose drift was healed");
  add_peer(command, options->peer);
  command.add_flag("--yes", options->yes, "Do not ask for the peer's name to be typed");
  add_asking(command, options->asking, false);
  command.footer(
      "Ask the other operator first what happened: `countersign explain` tells what was "
      "seen.\n" +
      std::string(keymsd_statuses) + "  countersign acknowledge hamburg-1");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(keymsd::acknowledge(*options, console())); });
}

void add_deny(CLI::App& program, Chosen& chosen) {
  const auto options = std::make_shared<keymsd::PeerOptions>();
  CLI::App& command = *program.add_subcommand(
      "deny", "Cut a peer off now: its keys, its SAs, the gate; until attest");
  add_peer(command, options->peer);
  command.add_option("WHY", options->why, "In words, which the peer is told, too")
      ->required()
      ->check([](const std::string& why) {
        return why.empty() || why.size() > 200 ? std::string("WHY has 1 to 200 characters")
                                               : std::string();
      });
  add_asking(command, options->asking, false);
  command.footer(std::string(keymsd_statuses) +
                 "  countersign deny hamburg-1 \"gateway was stolen\"");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(keymsd::deny(*options, console())); });
}

}  // namespace

void add_keymsd(CLI::App& program, Chosen& chosen) {
  add_status(program, chosen);
  add_peers(program, chosen);
  add_attest(program, chosen);
  add_explain(program, chosen);
  add_events(program, chosen);
  add_acknowledge(program, chosen);
  add_deny(program, chosen);
  add_certs(program, chosen);
  add_log(program, chosen);
}

}  // namespace cs::verbs
