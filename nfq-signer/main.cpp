// SPDX-License-Identifier: GPL-3.0-or-later
// The data plane's program: its command line.

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "nfq-signer/daemon.h"
#include "nfq-signer/routes_command.h"
#include "nfq-signer/rules_command.h"

namespace {

using cs::RulesRequest;

constexpr const char* default_config = "/etc/countersign/nfq-signer.toml";

struct RulesFlags {
  RulesRequest request;
  std::string config;  // empty: the usual one, if it is there
  bool nft = false, iptables = false, tc = false, swanctl = false;
  bool apply = false, remove = false, check = false, dry_run = false;

  void settle() {
    using Kind = RulesRequest::Kind;
    using Action = RulesRequest::Action;
    request.kind = nft        ? Kind::nft
                   : iptables ? Kind::iptables
                   : tc       ? Kind::tc
                   : swanctl  ? Kind::swanctl
                              : Kind::none;
    request.action = apply    ? (dry_run ? Action::print : Action::apply)
                     : remove ? (dry_run ? Action::print_removal : Action::remove)
                     : check  ? Action::check
                              : Action::print;
  }
};

void add_marks(CLI::App& rules, cs::Marks& marks) {
  constexpr const char* group = "Marks (both sides of a mark must agree with the SAs)";
  const auto add = [&](const char* name, std::uint32_t& value, const char* text) {
    std::ostringstream shown;
    shown << "0x" << std::hex << value;
    rules.add_option(name, value, text)->default_str(shown.str())->group(group);
  };
  add("--inbound-mark", marks.inbound_mark, "what a verified packet has");
  add("--inbound-mask", marks.inbound_mask, "the bits of it that are ours");
  add("--outbound-mark", marks.outbound_mark, "the output mark of outbound SAs");
  add("--outbound-mask", marks.outbound_mask, "the bits of it that are ours");
  add("--signed-mark", marks.signed_mark, "what a signed packet has, under that mask");
}

CLI::App* add_rules(CLI::App& app, RulesFlags& flags) {
  CLI::App* rules = app.add_subcommand("rules", "the rules that bring packets to the engine");
  rules->footer(
      "Prints the rules unless told to apply or remove them. Without a kind: tells what this "
      "machine can.\nSteering takes --nft or --iptables, not both; --tc and --swanctl are what "
      "protects when those are flushed.");
  auto* kinds = rules->add_option_group("Kind", "which rules");
  kinds->add_flag("--nft", flags.nft, "steering, by nftables");
  kinds->add_flag("--iptables", flags.iptables, "steering, by iptables and ip6tables");
  kinds->add_flag("--tc", flags.tc, "drop what is unsigned on the way out of --interface");
  kinds->add_flag("--swanctl", flags.swanctl, "print the marks to set in swanctl.conf");
  kinds->require_option(0, 1);
  auto* actions = rules->add_option_group("Action");
  actions->add_flag("--apply", flags.apply, "put them into the kernel, or replace them");
  actions->add_flag("--remove", flags.remove, "take them out of the kernel");
  actions->add_flag("--check", flags.check, "exit code 0 if they are in the kernel, else 1");
  actions->require_option(0, 1);
  rules->add_flag("--dry-run", flags.dry_run, "with --apply or --remove: print, change nothing");
  rules
      ->add_option("--config", flags.config,
                   "the configuration, for the MSS of its tunnels in transport mode")
      ->default_str(default_config);
  auto& options = flags.request.options;
  rules->add_option("--first-queue", options.first_queue, "number of the first queue")
      ->capture_default_str();
  rules->add_option("--queues", options.queues, "how many queues for each direction")
      ->capture_default_str();
  rules->add_option("--udp-port", options.udp_ports, "our ports for ESP in UDP")
      ->capture_default_str();
  rules->add_option("--translator-port", options.translator_port, "ours for the translator's UDP")
      ->check(CLI::Range(1, 65535));
  rules->add_option("--interface", options.egress_interfaces, "for --tc; may be given repeatedly");
  add_marks(*rules, options.marks);
  return rules;
}

cs::Result<void> run_rules(RulesFlags& flags) {
  flags.settle();
  if (!flags.config.empty() || std::filesystem::exists(default_config)) {
    CS_TRY(const cs::Config config,
           cs::read_config(flags.config.empty() ? default_config : flags.config));
    CS_TRY(flags.request.options.clamps,
           cs::mtu::transport_clamps(config.tunnels, config.max_batch));
  }
  return cs::run_rules(flags.request, std::cout);
}

struct RunFlags {
  std::string config = default_config;
  std::string user;
  bool check = false;
  bool allow_swapping = false;
};

CLI::App* add_run(CLI::App& app, RunFlags& flags) {
  CLI::App* run = app.add_subcommand("run", "sign and verify until SIGTERM");
  run->footer("systemd starts it like this. By hand, as root: nfq-signer run --user nfq-signer");
  run->add_option("--config", flags.config, "the configuration file")->capture_default_str();
  run->add_option("--user", flags.user, "become this user, with CAP_NET_ADMIN alone");
  run->add_flag("--allow-swapping", flags.allow_swapping,
                "run where RLIMIT_MEMLOCK is too low: copies of keys may go to swap");
  run->add_flag("--check", flags.check, "only say whether the configuration is right");
  return run;
}

cs::Result<void> run_service(const RunFlags& flags) {
  CS_TRY(const cs::Config config, cs::read_config(flags.config));
  if (!flags.check) return cs::run_daemon({config, flags.user, flags.allow_swapping});
  std::cout << flags.config << ": right\n";
  return {};
}

struct RoutesFlags {
  std::string config = default_config;
  std::string user = "nfq-signer";
  bool restore = false;
};

CLI::App* add_routes(CLI::App& app, RoutesFlags& flags) {
  CLI::App* routes = app.add_subcommand("routes", "the inner routes whose MTU we set");
  routes->footer("A service that was killed, and does not start again, leaves them as they are.");
  routes->add_option("--config", flags.config, "the configuration file")->capture_default_str();
  routes->add_option("--user", flags.user, "the service's user")->capture_default_str();
  routes->add_flag("--restore", flags.restore, "give them back what they had");
  return routes;
}

cs::Result<void> run_routes(const RoutesFlags& flags) {
  CS_TRY(const cs::Config config, cs::read_config(flags.config));
  return cs::run_routes({config.route_memory, flags.user, flags.restore}, std::cout);
}

int run(int argc, char** argv) {
  CLI::App app{"Countersign's data plane: signs and verifies ESP and AH", "nfq-signer"};
  app.set_version_flag("--version", "nfq-signer " CS_VERSION);
  app.footer("Manual: man nfq-signer");
  app.require_subcommand(1);
  RulesFlags flags;
  RunFlags run_flags;
  add_rules(app, flags);
  RoutesFlags routes_flags;
  const CLI::App* service = add_run(app, run_flags);
  const CLI::App* routes = add_routes(app, routes_flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  const auto done = service->parsed()  ? run_service(run_flags)
                    : routes->parsed() ? run_routes(routes_flags)
                                       : run_rules(flags);
  if (done.ok()) return 0;
  std::cerr << "nfq-signer: " << done.error().message() << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "nfq-signer: " << error.what() << '\n';
    return 1;
  }
}
