// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign policy`.
#include "tools/policy/policy.h"

#include <memory>

#include "keyms/policy/words.h"
#include "tools/verbs/verbs.h"

namespace cs::verbs {
namespace {

constexpr const char* a_policy =
    "A core policy: its text, its encoding, or a proposal or agreement";
constexpr const char* policy_statuses =
    "Exit status: 0 it is good, 1 the policy is refused, 2 the command line is wrong, 3 a file "
    "could not be read.\n";

// A gateway's options: which is "here" or "there".
void add_gateway(CLI::App& command, const std::string& which, keyms::DrawnGateway& gateway) {
  const std::string it = which == "here" ? "this gateway" : "the other gateway";
  add_parsed(
      command, "--" + which, gateway.ne_id,
      [](const std::string& text) -> Result<std::string> {
        if (keyms::is_ne_id(text)) return text;
        return Error(ErrorKind::invalid, "'" + text + "' is no name of a gateway")
            .with_hint("a lower-case letter, then lower-case letters, digits and '-'");
      },
      "Name of " + it + " (to be filled in)")
      ->type_name("NEID");
  add_parsed(
      command, "--" + which + "-key", gateway.attestation_key,
      [](const std::string& text) -> Result<std::optional<tpm::Name>> {
        CS_TRY(const tpm::Name name, keyms::parse_name(text));
        return std::optional(name);
      },
      "Name of its attestation key, in hexadecimal (to be filled in)")
      ->type_name("HEX");
  add_parsed(
      command, "--" + which + "-keymsd", gateway.keymsd,
      [](const std::string& text) -> Result<std::optional<keyms::Endpoint>> {
        CS_TRY(const keyms::Endpoint endpoint, keyms::parse_endpoint(text));
        return std::optional(endpoint);
      },
      "Where its keymsd listens")
      ->type_name("ADDRESS:PORT");
}

void add_name(CLI::App& command, std::string& name) {
  command.add_option("--name", name, "What people call the policy")->type_name("NAME");
}

// The address and the networks of one end.
void add_end(CLI::App& command, const std::string& which, xfrm::TunnelEnd& end) {
  const std::string it = which == "here" ? "this gateway" : "the other gateway";
  add_parsed(
      command, "--" + which + "-address", end.address,
      [](const std::string& text) -> Result<std::optional<net::Address>> {
        CS_TRY(const net::Address address, net::Address::parse(text));
        return std::optional(address);
      },
      "Address of " + it + " (any)")
      ->type_name("ADDRESS");
  command
      .add_option_function<std::vector<std::string>>(
          "--" + which + "-network",
          [&end](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              const auto parsed = keyms::parse_traffic(text);
              if (!parsed.ok()) throw CLI::ValidationError(parsed.error().message());
              end.traffic.push_back(*parsed);
            }
          },
          "A network behind it, as 10.1.0.0/16 or 10.1.0.0/16[tcp/443]; may be repeated")
      ->type_name("NETWORK");
}

void add_new(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<policy::NewOptions>();
  CLI::App& command =
      *family.add_subcommand("new", "Write a core policy with one tunnel to begin with");
  add_name(command, options->who.name);
  add_gateway(command, "here", options->who.here);
  add_end(command, "here", options->ends[0]);
  add_gateway(command, "there", options->who.there);
  add_end(command, "there", options->ends[1]);
  command.add_option("--tunnel", options->tunnel, "What people call the tunnel")
      ->type_name("NAME")
      ->capture_default_str();
  add_parsed(
      command, "--proposal", options->proposals,
      [](const std::string& text) -> Result<std::vector<xfrm::Proposal>> {
        CS_TRY(const xfrm::Proposal proposal, xfrm::parse_proposal(text));
        return std::vector{proposal};
      },
      "Its algorithms, in strongSwan's words (aes256gcm16)")
      ->type_name("WORDS");
  command.footer(
      "What is missing it asks for, on a terminal. The text goes to standard output, with each "
      "field and its default, to be edited; a keymsd listens at its gateway's address and port "
      "4739 unless it is told otherwise.\n"
      "Exit status: 0 it is written, 2 the command line is wrong or lacks something.\n"
      "  countersign policy new --here berlin-1 --there hamburg-1 > policy.toml");
  when_chosen(command, chosen, [options] {
    if (options->proposals.empty()) {
      options->proposals.push_back(*xfrm::parse_proposal("aes256gcm16"));
    }
    return static_cast<int>(policy::make_new(*options, inspect::console()));
  });
}

void add_from_swanctl(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<policy::SwanctlOptions>();
  CLI::App& command = *family.add_subcommand(
      "from-swanctl", "Write the core policy that a strongSwan configuration follows");
  command.add_option("FILE", options->file, "The configuration: swanctl.conf")
      ->type_name("FILE")
      ->required();
  command
      .add_option("--connection", options->connection, "Which of its connections (the only one)")
      ->type_name("NAME");
  add_name(command, options->who.name);
  add_gateway(command, "here", options->who.here);
  add_gateway(command, "there", options->who.there);
  command.footer(
      "Each child of the connection becomes a tunnel. Who the gateways are a configuration does "
      "not say: what no option tells is left to be filled in, and said. What no policy can say "
      "(ranges, compression, offload) is refused with its line; includes are not read.\n"
      "Exit status: 0 it is written, 2 the command line is wrong, 3 the file could not be read, or "
      "not be understood.\n"
      "  countersign policy from-swanctl swanctl.conf --here berlin-1 > policy.toml");
  when_chosen(command, chosen, [options] {
    return static_cast<int>(policy::draw_from_swanctl(*options, inspect::console()));
  });
}

void add_from_kernel(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<policy::KernelOptions>();
  CLI::App& command = *family.add_subcommand(
      "from-kernel", "Write the core policy that the kernel's tunnels with a peer follow");
  add_parsed(
      command, "--peer", options->peer,
      [](const std::string& text) -> Result<std::optional<net::Address>> {
        CS_TRY(const net::Address address, net::Address::parse(text));
        return std::optional(address);
      },
      "The other gateway (the only one)")
      ->type_name("ADDRESS");
  add_name(command, options->who.name);
  add_gateway(command, "here", options->who.here);
  add_gateway(command, "there", options->who.there);
  command.footer(
      "From the policies and SAs that are there now: bring the tunnels up first. What the kernel "
      "does not say is left to be filled in, and said.\n"
      "It needs CAP_NET_ADMIN: run it as root.\n"
      "Exit status: 0 it is written, 2 the command line is wrong, 3 the kernel does not tell, or "
      "has no tunnel.\n"
      "  countersign policy from-kernel --peer 192.0.2.2 > policy.toml");
  when_chosen(command, chosen, [options] {
    return static_cast<int>(policy::draw_from_kernel(*options, inspect::console()));
  });
}

void add_check_policy(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<policy::FileOptions>();
  CLI::App& command = *family.add_subcommand(
      "check", "Tell whether a core policy can be kept, and what is weak in it");
  command.add_option("FILE", options->file, a_policy)->type_name("FILE")->required();
  command.add_flag("--json", options->json, "Tell it in JSON instead of text");
  command.footer(std::string("What is wrong is told with line and column. The core properties "
                             "value is what both gateways compare; its digits are for people to "
                             "read aloud. Of a proposal or agreement it is told who has signed "
                             "it.\n") +
                 policy_statuses + "  countersign policy check policy.toml");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(policy::check(*options, inspect::console())); });
}

void add_show_policy(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<policy::FileOptions>();
  CLI::App& command =
      *family.add_subcommand("show", "Write out a core policy with every field as text");
  command.add_option("FILE", options->file, a_policy)->type_name("FILE")->required();
  command.add_flag("--json", options->json, "The same fields in JSON");
  command.footer(std::string("What comes out can be edited and read again: what is told beside the "
                             "policy stands in comments.\n") +
                 policy_statuses + "  countersign policy show agreement.cbor");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(policy::show(*options, inspect::console())); });
}

void add_diff(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<policy::DiffOptions>();
  CLI::App& command = *family.add_subcommand(
      "diff", "Tell what one core policy says otherwise than another, and what that means");
  command.add_option("FILE", options->files, "Two core policies in any form: before and after")
      ->type_name("FILE")
      ->expected(2)
      ->required();
  command.add_flag("--json", options->json, "Tell it in JSON instead of text");
  command.footer(
      "Each change in a line that begins with its meaning: wider, narrower (more or less is "
      "protected), weaker, stronger (less or more is asked), other.\n"
      "Exit status: 0 they were compared, 1 a policy is refused, 2 the command line is wrong, 3 a "
      "file could not be read.\n"
      "  countersign policy diff policy.toml new.toml");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(policy::diff(*options, inspect::console())); });
}

void add_encode(CLI::App& family, Chosen& chosen) {
  const auto options = std::make_shared<policy::EncodeOptions>();
  CLI::App& command = *family.add_subcommand(
      "encode", "Write a core policy's encoding, and tell its core properties value");
  command.add_option("FILE", options->file, a_policy)->type_name("FILE")->required();
  command.add_option("--out", options->out, "Where its encoding goes: CBOR")
      ->type_name("FILE")
      ->required();
  command.footer(std::string("The value is the SHA-256 of the encoding.\n") + policy_statuses +
                 "  countersign policy encode --out policy.cbor policy.toml");
  when_chosen(command, chosen,
              [options] { return static_cast<int>(policy::encode(*options, inspect::console())); });
}

}  // namespace

void add_policy(CLI::App& program, Chosen& chosen) {
  CLI::App& family =
      *program.add_subcommand("policy", "Write, compare and agree on what two gateways keep to");
  family.require_subcommand(1);
  add_new(family, chosen);
  add_from_swanctl(family, chosen);
  add_from_kernel(family, chosen);
  add_check_policy(family, chosen);
  add_show_policy(family, chosen);
  add_diff(family, chosen);
  add_encode(family, chosen);
  add_agreed(family, chosen);
}

}  // namespace cs::verbs
