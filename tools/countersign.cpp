// SPDX-License-Identifier: GPL-3.0-or-later
// The operator's command line. What the subcommands do is in the folders beside this file.

#include <CLI/CLI.hpp>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "base/rfc3339.h"
#include "tools/packet/packet.h"

namespace {

using cs::packet::Outcome;

constexpr int failed = static_cast<int>(Outcome::failed);

int say(const cs::Error& error) {
  std::cerr << "countersign: " << error.message() << '\n';
  return failed;
}

int end_with(const cs::Result<Outcome>& outcome) {
  return outcome.ok() ? static_cast<int>(*outcome) : say(outcome.error());
}

// For an option whose text `parse` understands: what it says is in `out`, or why not on the screen.
template <class T, class Parse>
CLI::Option* add_parsed(CLI::App& command, const std::string& name, T& out, Parse parse,
                        const std::string& help) {
  const auto take = [&out, parse](const std::string& text) {
    auto parsed = parse(text);
    if (!parsed.ok()) throw CLI::ValidationError(parsed.error().message());
    out = std::move(parsed).value();
  };
  return command.add_option_function<std::string>(name, take, help);
}

cs::Result<cs::Suite> parse_suite(const std::string& name) {
  const auto suite = cs::suite_from_name(name);
  if (suite) return *suite;
  return cs::Error(cs::ErrorKind::invalid, "there is no suite '" + name + "'")
      .with_hint("one of: p256-16, p256-32, ed25519-16, ed25519-32");
}

void add_ports(CLI::App& command, std::vector<std::uint16_t>& ports, std::uint16_t& translator,
               const char* translator_help) {
  command
      .add_option("--udp-port", ports,
                  "Look for ESP in UDP datagrams from or to this port; may be repeated")
      ->check(CLI::Range(1, 65535))
      ->default_val(std::vector<std::uint16_t>{4500});
  command.add_option("--translator-port", translator, translator_help)->check(CLI::Range(1, 65535));
}

// What the command line chose to do; none: show the help.
struct Chosen {
  const cs::Clock& clock;
  std::function<int()> run;
};

void add_sign(CLI::App& packet, Chosen& chosen, cs::packet::SignOptions& options) {
  CLI::App& command = *packet.add_subcommand("sign", "Sign each ESP and AH packet of a capture");
  command.add_option("--key", options.key, "File with the private key")->required();
  command.add_option("--in", options.in, "Capture to read: pcap or pcapng")->required();
  command.add_option("--out", options.out, "Capture to write: pcap")->required();
  command.add_option("--batch", options.batch, "Packets under one signature")
      ->check(CLI::Range(std::size_t{1}, cs::max_batch))
      ->capture_default_str();
  command.add_option("--lane", options.lane, "Lane to sign in (the first one of the key)");
  add_ports(command, options.udp_ports, options.translator_port,
            "Put what is signed inside UDP to this port, but for ESP in UDP (not)");
  command.footer(
      "Exit status: 0 all signed, 1 some could not be (they are written as they are),\n"
      "2 the command line or a file is wrong.");
  command.callback([&] {
    chosen.run = [&] {
      return end_with(cs::packet::sign(options, chosen.clock, std::cout, std::cerr));
    };
  });
}

void add_verify(CLI::App& packet, Chosen& chosen, cs::packet::VerifyOptions& options) {
  CLI::App& command =
      *packet.add_subcommand("verify", "Verify each ESP and AH packet of a capture");
  command.add_option("--key", options.keys, "File with a public key (.pub); may be repeated")
      ->required()
      ->allow_extra_args(false);
  command.add_option("--in", options.in, "Capture to read: pcap or pcapng")->required();
  command.add_option("--out", options.out,
                     "Capture to write: what verified, without its signature, and what is not "
                     "IPsec");
  command.add_flag("--json", options.json, "Report in JSON instead of text");
  add_parsed(command, "--at", options.at, cs::parse_rfc3339,
             "Verify as if it were this time, as 2026-02-01T13:00:00Z (now)");
  add_ports(command, options.udp_ports, options.translator_port,
            "Take signed packets out of UDP to this port (do not look there)");
  command.footer(
      "Exit status: 0 all verified, 1 some refused, 2 the command line or a file is\n"
      "wrong. The report tells the reason for each packet.");
  command.callback([&] {
    chosen.run = [&] {
      return end_with(cs::packet::verify(options, chosen.clock, std::cout, std::cerr));
    };
  });
}

void add_key_make(CLI::App& key, Chosen& chosen, cs::packet::MakeKeyOptions& options) {
  CLI::App& command = *key.add_subcommand("make", "Make a key pair for one direction");
  cs::KeyRecord& record = options.record;
  add_parsed(command, "--suite", record.scope.suite, parse_suite,
             "p256-16, p256-32, ed25519-16 or ed25519-32: the signature, and the bytes of a node")
      ->required();
  command.add_option("--out", options.out, "File for the private key; F.pub is the other one")
      ->required();
  command.add_option("--key-id", record.scope.key, "Number of the key (random)");
  command
      .add_option("--direction", record.scope.direction,
                  "0: from the session's initiator, 1: towards it (0)")
      ->check(CLI::Range(0, 1));
  add_parsed(command, "--session", record.scope.session, cs::packet::parse_digest,
             "Session, 64 hex digits (random)");
  add_parsed(command, "--pcr-digest", record.scope.pcr_digest, cs::packet::parse_digest,
             "PCR digest, 64 hex digits (zeros)");
  add_parsed(command, "--lanes", record.lanes, cs::packet::parse_lanes,
             "Lanes it may sign in (0-15)");
  add_parsed(command, "--not-after", record.not_after, cs::parse_rfc3339,
             "When it ends, as 2026-02-01T13:00:00Z (in 30 days)");
  command.callback([&] {
    chosen.run = [&] {
      const auto made = cs::packet::make_key(options, chosen.clock, std::cout);
      return made.ok() ? 0 : say(made.error());
    };
  });
}

int run(int argc, char** argv) {
  CLI::App app{"Countersign: attested IPsec gateways", "countersign"};
  app.set_version_flag("--version", "countersign " CS_VERSION);
  app.footer("Manual: man countersign");
  const cs::SystemClock clock;
  Chosen chosen{clock, {}};
  cs::packet::SignOptions sign;
  cs::packet::VerifyOptions verify;
  cs::packet::MakeKeyOptions key_make{cs::packet::fresh_record(clock), {}};
  CLI::App& packet = *app.add_subcommand("packet", "Sign and verify captures, offline");
  packet.require_subcommand(1);
  add_sign(packet, chosen, sign);
  add_verify(packet, chosen, verify);
  CLI::App& key = *app.add_subcommand("key", "Make keys for `packet`, or to try the engine");
  key.require_subcommand(1);
  add_key_make(key, chosen, key_make);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : failed;
  }
  if (!chosen.run) {
    std::cout << app.help();
    return 0;
  }
  const int outcome = chosen.run();
  std::cout.flush();
  if (std::cout) return outcome;
  return say(cs::Error(cs::ErrorKind::io, "writing the report to standard output"));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "countersign: " << error.what() << '\n';
    return failed;
  }
}
