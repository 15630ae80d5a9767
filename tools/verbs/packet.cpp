// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign packet` and `countersign key`.
#include "tools/packet/packet.h"

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/rfc3339.h"
#include "tools/verbs/verbs.h"

namespace cs::verbs {
namespace {

using packet::Outcome;

constexpr const char* a_capture = "Capture to read: pcap or pcapng";

int say(const Error& error) {
  std::cerr << "countersign: " << error.message() << '\n';
  return static_cast<int>(Outcome::failed);
}

int end_with(const Result<Outcome>& outcome) {
  return outcome.ok() ? static_cast<int>(*outcome) : say(outcome.error());
}

Result<Suite> parse_suite(const std::string& name) {
  const auto suite = suite_from_name(name);
  if (suite) return *suite;
  return Error(ErrorKind::invalid, "there is no suite '" + name + "'")
      .with_hint("one of: p256-16, p256-32, ed25519-16, ed25519-32");
}

void add_ports(CLI::App& command, std::vector<std::uint16_t>& ports, std::uint16_t& translator,
               const char* translator_help) {
  command
      .add_option("--udp-port", ports,
                  "Look for ESP in UDP datagrams from or to this port; may be repeated")
      ->type_name("PORT")
      ->check(CLI::Range(1, 65535))
      ->default_val(std::vector<std::uint16_t>{4500})
      ->default_str("4500");
  command.add_option("--translator-port", translator, translator_help)
      ->type_name("PORT")
      ->check(CLI::Range(1, 65535));
}

void add_sign_packet(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<packet::SignOptions>();
  CLI::App& command = *family.add_subcommand("sign", "Sign each ESP and AH packet of a capture");
  command.add_option("--key", options->key, "The private key: yours, and of mode 0600 or stricter")
      ->type_name("FILE")
      ->required();
  command.add_option("--in", options->in, a_capture)->type_name("FILE")->required();
  command.add_option("--out", options->out, "Capture to write: pcap")
      ->type_name("FILE")
      ->required();
  command
      .add_option("--batch", options->batch,
                  "Packets under one signature, 1 to " + std::to_string(max_batch))
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, max_batch))
      ->capture_default_str();
  command.add_option("--lane", options->lane, "Lane to sign in (the first one of the key)")
      ->type_name("N");
  add_ports(command, options->udp_ports, options->translator_port,
            "Put what is signed inside UDP to this port, as the translator of nfq-signer does, but "
            "not what is ESP in UDP already (do not)");
  command.footer(
      "A packet that cannot be signed, as it is a fragment, cut by the capture or too long, is "
      "told and written as it is. Batch numbers begin at 0 with each run: take another lane for "
      "each run with one key.\n"
      "Exit status: 0 all signed, 1 some could not be, 2 the command line or a file is wrong; of a "
      "capture that breaks off, what came before was signed.\n"
      "  countersign packet sign --key key --in plain.pcap --out signed.pcap --batch 16");
  when_chosen(command, chosen, [&chosen, options] {
    return end_with(packet::sign(*options, chosen.clock, std::cout, std::cerr));
  });
}

constexpr const char* verify_text =
    "The reasons are those of the wire format, as `no_extension`, `unknown_key`, `expired_key` or "
    "`bad_tag`; `truncated` is a packet of which the capture kept the beginning only, and "
    "`untranslatable` one that came in UDP to the translator's port and that no translator made. "
    "A verbatim repetition of a packet verifies: the kernel's replay window refuses it.\n"
    "With --json one object is printed, with `schema_version` (1), `packets`, `counts` and "
    "`error`.\n"
    "Exit status: 0 all verified, 1 some refused, 2 the command line or a file is wrong; of a "
    "capture that breaks off, what came before was verified and told.\n"
    "  countersign packet verify --key key.pub --in signed.pcap --out stripped.pcap";

void add_verify(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<packet::VerifyOptions>();
  CLI::App& command = *family.add_subcommand(
      "verify", "Tell of each ESP and AH packet of a capture whether it verifies, and why not");
  command
      .add_option("--key", options->keys,
                  "A public key (.pub); may be repeated, for other keys and the other direction")
      ->type_name("FILE")
      ->required()
      ->allow_extra_args(false);
  command.add_option("--in", options->in, a_capture)->type_name("FILE")->required();
  command
      .add_option("--out", options->out,
                  "Capture to write, as the kernel would see it: what verified, without its "
                  "signature, and what is not IPsec")
      ->type_name("FILE");
  command.add_flag("--json", options->json, "Report in JSON instead of text");
  add_parsed(command, "--at", options->at, parse_rfc3339,
             "Verify as if it were this time, as 2026-02-01T13:00:00Z (now); a lifetime in the key "
             "file counts from when it is loaded, so it never ends here")
      ->type_name("TIME");
  add_ports(command, options->udp_ports, options->translator_port,
            "Take signed packets out of UDP to this port (do not look there)");
  command.footer(verify_text);
  when_chosen(command, chosen, [&chosen, options] {
    return end_with(packet::verify(*options, chosen.clock, std::cout, std::cerr));
  });
}

void add_make_key(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<packet::MakeKeyOptions>(
      packet::MakeKeyOptions{packet::fresh_record(chosen.clock), {}});
  KeyRecord& record = options->record;
  CLI::App& command = *family.add_subcommand("make", "Make a key pair for one direction");
  add_parsed(command, "--suite", record.scope.suite, parse_suite,
             "The signature's algorithm, and the bytes of a node of the batch tree")
      ->type_name("p256-16|p256-32|ed25519-16|ed25519-32")
      ->required();
  command.add_option("--out", options->out, "File for the private key; FILE.pub is the other one")
      ->type_name("FILE")
      ->required();
  command.add_option("--key-id", record.scope.key, "Number of the key (random)")->type_name("N");
  command
      .add_option("--direction", record.scope.direction,
                  "0: from the session's initiator, 1: towards it (0)")
      ->type_name("0|1")
      ->check(CLI::Range(0, 1));
  add_parsed(command, "--session", record.scope.session, packet::parse_digest,
             "The session both ends agreed on, 64 hex digits (random)")
      ->type_name("HEX");
  add_parsed(command, "--pcr-digest", record.scope.pcr_digest, packet::parse_digest,
             "PCR digest of the quote that introduced the key, 64 hex digits (zeros: there was no "
             "quote)")
      ->type_name("HEX");
  add_parsed(command, "--lanes", record.lanes, packet::parse_lanes, "Lanes it may sign in (0-15)")
      ->type_name("A-B");
  add_parsed(command, "--not-after", record.not_after, parse_rfc3339,
             "When it ends, as 2026-02-01T13:00:00Z (in 30 days)")
      ->type_name("TIME");
  command.footer(
      "Writes two files, both readable by their owner only: FILE signs, FILE.pub verifies. The "
      "second holds no private key, but the gate secret, which both ends share and nobody else "
      "should have. A file that exists is never overwritten.\n"
      "Exit status: 0 the files are made, 2 they are not.\n"
      "  countersign key make --suite p256-16 --out key");
  when_chosen(command, chosen, [&chosen, options] {
    const auto made = packet::make_key(*options, chosen.clock, std::cout);
    return made.ok() ? 0 : say(made.error());
  });
}

}  // namespace

void add_packet(CLI::App& program, Chosen& chosen) {
  CLI::App& family = *program.add_subcommand("packet", "Sign and verify captures, offline");
  family.require_subcommand(1);
  family.footer(
      "A capture is a pcap file (of either byte order, with microseconds or nanoseconds) or a "
      "pcapng file. Link types: Ethernet, raw IP, IPv4, IPv6, Linux cooked (of \"any\"), null and "
      "loopback, the first and the cooked ones with up to two VLAN tags. What is written is pcap, "
      "of the byte order and resolution of a pcap that was read, and has one link type. Link layer "
      "headers, times and what follows the IP packet (padding) stay as they are; the snaplen told "
      "is at least 262144, as `tcpdump`(8) has it. A packet that is neither ESP nor AH passes "
      "unchanged and is counted.");
  add_sign_packet(family, chosen);
  add_verify(family, chosen);
}

void add_key(CLI::App& program, Chosen& chosen) {
  CLI::App& family = *program.add_subcommand("key", "Make keys for `packet`, or to try the engine");
  family.require_subcommand(1);
  add_make_key(family, chosen);
}

}  // namespace cs::verbs
