// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "tools/bench/modes.h"

namespace cs::bench {

namespace {

constexpr const char* description =
    "Measures what signing and verifying every packet costs on this machine.\n"
    "Works in network namespaces of its own; needs root.";

Suite suite_of(const std::string& name, std::size_t node_size) {
  if (name == "ed25519") return node_size == 16 ? Suite::ed25519_node16 : Suite::ed25519_node32;
  return node_size == 16 ? Suite::p256_node16 : Suite::p256_node32;
}

std::vector<Setup> setups_of(const std::vector<std::string>& names) {
  std::vector<Setup> setups;
  for (const Setup setup : {Setup::drain, Setup::live}) {
    if (std::find(names.begin(), names.end(), to_string(setup)) != names.end())
      setups.push_back(setup);
  }
  return setups;
}

}  // namespace

bool Options::has(Setup setup) const noexcept {
  return std::find(setups.begin(), setups.end(), setup) != setups.end();
}

std::optional<Options> read_options(int argc, char** argv, int& exit_code) {
  Options options;
  std::vector<std::string> setups{"drain", "live"};
  std::string protocol = "esp";
  std::string suite = "p256";
  std::size_t node_size = 16;
  options.signer_latencies_ms = {10};

  CLI::App app{description, "nfq-bench"};
  app.set_version_flag("--version", "nfq-bench " CS_VERSION);
  app.option_defaults()->always_capture_default();
  app.add_option("--size", options.size, "Bytes of an IP packet before it is signed")
      ->check(CLI::Range(96, 60000));
  app.add_option("--seconds", options.seconds, "Length of one measurement")
      ->check(CLI::Range(0.05, 600.0));
  app.add_option("--rounds", options.rounds, "Rounds over all modes")->check(CLI::Range(1, 1000));
  app.add_option("--batch", options.batch, "Packets per signature, at most")
      ->check(CLI::Range(1, 4096));
  app.add_option("--queues", options.queues, "NFQUEUEs, each with a thread")
      ->check(CLI::Range(std::size_t{1}, max_queues));
  app.add_option("--modes", options.modes, "Only these, comma between them (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember(mode_names()));
  app.add_option("--setup", setups, "drain, live or both")
      ->delimiter(',')
      ->check(CLI::IsMember({"drain", "live"}));
  app.add_option("--signer-latency-ms", options.signer_latencies_ms,
                 "How long the signer of sign-remote takes, comma between several")
      ->delimiter(',')
      ->check(CLI::Range(1, 4000));
  app.add_option("--protocol", protocol, "esp or ah")->check(CLI::IsMember({"esp", "ah"}));
  app.add_option("--suite", suite, "p256 or ed25519")->check(CLI::IsMember({"p256", "ed25519"}));
  app.add_option("--node-size", node_size, "Bytes of a tree node, 16 or 32")
      ->check(CLI::IsMember({16, 32}));
  app.add_flag("--ipv6", options.ipv6, "IPv6 instead of IPv4");
  app.add_flag("--sweep", options.sweep, "Also offer 5 % to 150 % of the capacity, end to end");
  app.add_flag("--json", options.json, "Print JSON instead of a table");
  app.add_option("--plot", options.plot, "Write a picture (SVG) to this file");
  app.footer("Modes: " + CLI::detail::join(mode_names(), ", ") + "\nManual: man nfq-bench");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error);
    return std::nullopt;
  }
  options.setups = setups_of(setups);
  options.protocol = protocol == "ah" ? Protocol::ah : Protocol::esp;
  options.suite = suite_of(suite, node_size);
  return options;
}

}  // namespace cs::bench
