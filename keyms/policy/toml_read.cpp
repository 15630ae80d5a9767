// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <map>
#include <sstream>

#include "base/toml_reader.h"
#include "keyms/policy/toml.h"
#include "keyms/policy/words.h"

namespace cs::keyms {
namespace {

constexpr std::uint64_t all_32 = 0xffff'ffff;

// Where each part of the policy stands, for what is found wrong with it as a whole.
using Places = std::map<std::string, std::string>;

template <class T, std::size_t n>
void word(TomlReader& in, const std::string& field, T& out, const std::array<Word<T>, n>& words) {
  in.word(field, out, std::span<const TomlWord<T>>(words));
}

void read_gateway(TomlReader& in, Gateway& out) {
  if (in.has("attestation_key")) {
    in.parsed("attestation_key", out.attestation_key.emplace(), parse_name);
  }
  if (in.has("authority")) in.parsed("authority", out.authority.emplace(), parse_hash);
  word(in, "proof", out.proof, proof_words);
  in.list("addresses", out.addresses, max_addresses, net::Address::parse);
  if (in.has("keymsd")) in.parsed("keymsd", out.keymsd.emplace(), parse_endpoint);
  in.number("static_pcr", out.static_pcr, 0, tpm::pcr_count - 1);
  in.parsed("event_register", out.event_register, parse_register);
  in.flag("resettable", out.resettable);
  in.table("boot", [&](TomlReader& boot) {
    for (const std::string& name : boot.names()) {
      const auto pcr = parse_number(name, tpm::pcr_count - 1);
      if (!pcr.ok() || name.starts_with("0x")) continue;  // then nobody asks for it
      BootRule& rule = out.boot.emplace_back();
      rule.pcr = static_cast<std::uint32_t>(*pcr);
      std::vector<Hash> accepted;
      boot.list(name, accepted, max_accepted, parse_hash);
      for (const Hash& value : accepted) {
        tpm::Digest digest(tpm::HashAlgorithm::sha256);
        std::ranges::copy(value, digest.bytes().begin());
        rule.accepted.push_back(digest);
      }
    }
  });
  in.table("ima", [&](TomlReader& ima) {
    ImaRules& rules = out.ima.emplace();
    ima.list("list_keys", rules.list_keys, max_list_keys, parse_hash);
    ima.list("ignored", rules.ignored, max_ignored,
             [](std::string_view path) -> Result<std::string> { return std::string(path); });
    ima.flag("accept_violations", rules.accept_violations);
  });
}

// An end's address: as it says, or the gateway's only one.
void read_address(TomlReader& in, const std::string& tunnel, const Gateway& gateway,
                  std::optional<net::Address>& out) {
  if (!in.has(gateway.ne_id)) {
    if (gateway.addresses.size() > 1) {
      in.refuse(Error(ErrorKind::invalid, tunnel + ": address." + gateway.ne_id + " is missing")
                    .with_hint("the gateway has several; say which the tunnel is at"));
    } else if (gateway.addresses.size() == 1) {
      out = gateway.addresses[0];
    }
    return;
  }
  in.parsed(gateway.ne_id, out, [](std::string_view text) -> Result<std::optional<net::Address>> {
    if (text == "any") return std::optional<net::Address>();
    CS_TRY(const net::Address address, net::Address::parse(text));
    return std::optional(address);
  });
}

void read_ends(TomlReader& in, const std::array<Gateway, 2>& gateways, xfrm::Tunnel& out) {
  const auto read_addresses = [&](TomlReader& table) {
    for (std::size_t i = 0; i < 2; ++i) {
      read_address(table, in.place(), gateways.at(i), out.ends.at(i).address);
    }
  };
  in.table("address", read_addresses, true);
  in.table("traffic", [&](TomlReader& table) {
    for (std::size_t i = 0; i < 2; ++i) {
      table.list(gateways.at(i).ne_id, out.ends.at(i).traffic, xfrm::max_pairs, parse_traffic);
    }
  });
}

void read_tunnel(TomlReader& in, const std::array<Gateway, 2>& gateways, xfrm::Tunnel& out) {
  read_ends(in, gateways, out);
  word(in, "mode", out.mode, tunnel_mode_words);
  word(in, "protocol", out.protocol, ipsec_words);
  in.list("proposals", out.proposals, xfrm::max_proposals, xfrm::parse_proposal);
  word(in, "extended_sequence_numbers", out.extended_sequence_numbers, use_words);
  word(in, "udp_encapsulation", out.udp_encapsulation, use_words);
  in.number("least_replay_window", out.least_replay_window, 1, all_32);
  in.parsed("inbound_mark", out.inbound_mark, parse_mark);
  in.parsed("output_mark", out.output_mark, parse_mark);
  in.parsed("inbound_policy_mark", out.inbound_policy_mark, parse_mark);
  in.parsed("outbound_policy_mark", out.outbound_policy_mark, parse_mark);
  in.number("interface_id", out.interface_id, 0, all_32);
  std::chrono::seconds most(0);
  in.parsed("sa_lifetime", most, parse_duration);
  out.most_seconds = static_cast<std::uint64_t>(most.count());
  in.flag("forwards", out.forwards);
}

void read_bypass(TomlReader& in, const std::array<Gateway, 2>& gateways, xfrm::Bypass& out) {
  const std::array ends{Word<xfrm::End>{gateways[0].ne_id, xfrm::End::left},
                        Word<xfrm::End>{gateways[1].ne_id, xfrm::End::right}};
  for (const char* field : {"at", "here", "there"}) {
    if (!in.has(field)) in.refuse(field, "given");
  }
  word(in, "at", out.at, ends);
  in.parsed("here", out.here, parse_traffic);
  in.parsed("there", out.there, parse_traffic);
}

void read_signing(TomlReader& in, Signing& out) {
  word(in, "mode", out.mode, signing_mode_words);
  word(in, "suite", out.suite, suite_words);
  word(in, "inbound", out.inbound, inbound_words);
  in.parsed("key_lifetime", out.key_lifetime, parse_duration);
  in.parsed("overlap", out.overlap, parse_duration);
}

void read_attestation(TomlReader& in, Attestation& out) {
  in.parsed("interval", out.interval, parse_duration);
  in.parsed("certificate_lifetime", out.certificate_lifetime, parse_duration);
  in.parsed("silence", out.silence, parse_duration);
  word(in, "after_drift", out.after_drift, after_drift_words);
  word(in, "on_failure", out.on_failure, on_failure_words);
  in.parsed("grace", out.grace, parse_duration);
}

// Each table in the one of this field, by its name.
template <class Read>
void read_named(TomlReader& in, const std::string& field, std::size_t most, Places& places,
                Read read) {
  in.table(field, [&](TomlReader& all) {
    const std::vector<std::string> names = all.names();
    if (names.size() > most) {
      return in.refuse(Error(
          ErrorKind::limit, in.place(field) + ": more than " + std::to_string(most) + " " + field));
    }
    for (const std::string& name : names) {
      places[std::string(field).append(".").append(name)] = all.place(name);
      all.table(name, [&](TomlReader& one) { read(one, name); });
    }
  });
}

void read_policy(TomlReader& in, CorePolicy& out, Places& places) {
  in.text("name", out.name, xfrm::max_name);
  in.number("version", out.version, 1, max_version);
  if (in.has("predecessor")) in.parsed("predecessor", out.predecessor.emplace(), parse_hash);
  std::size_t found = 0;
  read_named(in, "gateways", 2, places, [&](TomlReader& one, const std::string& name) {
    Gateway& gateway = out.gateways.at(found++);
    gateway.ne_id = name;
    read_gateway(one, gateway);
  });
  if (found != 2) return in.refuse("gateways", "two tables, [gateways.NEID] for each gateway");
  read_named(in, "tunnels", xfrm::max_tunnels, places,
             [&](TomlReader& one, const std::string& name) {
               xfrm::Tunnel& tunnel = out.agreement.tunnels.emplace_back();
               tunnel.name = name;
               read_tunnel(one, out.gateways, tunnel);
             });
  read_named(in, "bypasses", xfrm::max_bypasses, places,
             [&](TomlReader& one, const std::string& name) {
               xfrm::Bypass& bypass = out.agreement.bypasses.emplace_back();
               bypass.name = name;
               read_bypass(one, out.gateways, bypass);
             });
  in.table("defaults", [&](TomlReader& defaults) {
    word(defaults, "in", out.agreement.defaults.in, action_words);
    word(defaults, "forward", out.agreement.defaults.forward, action_words);
    word(defaults, "out", out.agreement.defaults.out, action_words);
  });
  for (const char* part : {"signing", "attestation"}) {
    if (in.has(part)) places[part] = in.place(part);
  }
  in.table("signing", [&](TomlReader& signing) { read_signing(signing, out.signing); });
  in.table("attestation", [&](TomlReader& part) { read_attestation(part, out.attestation); });
}

}  // namespace

Result<CorePolicy> parse_toml_policy(std::string_view text, const std::string& name) {
  if (text.size() > max_toml) {
    return Error(ErrorKind::limit,
                 name + ": it is longer than " + std::to_string(max_toml) + " bytes");
  }
  const TomlFile file{name, "docs/POLICY.md lists them"};
  CS_TRY(const toml::table table, parse_toml(text, file));
  TomlReader reader(table, file, "");
  CorePolicy policy;
  Places places;
  read_policy(reader, policy, places);
  CS_CHECK(reader.finish());
  normalise(policy);
  auto problem = find_problem(policy);
  if (!problem) return policy;
  const auto place = places.find(problem->part);
  const std::string part = problem->part.empty() ? "" : ": " + problem->part;
  return std::move(problem->error).context((place == places.end() ? name : place->second) + part);
}

Result<std::string> json_text(const CorePolicy& policy) {
  CS_TRY(const toml::table table, parse_toml(toml_text(policy), {"the policy's text", ""}));
  std::ostringstream out;
  out << toml::json_formatter(table);
  return out.str();
}

}  // namespace cs::keyms
