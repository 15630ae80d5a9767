// SPDX-License-Identifier: GPL-3.0-or-later
// Whether the rules of others leave ESP and AH, and our rules, alone.
#include <algorithm>
#include <optional>
#include <sstream>

#include "tools/doctor/checks.h"
#include "tools/doctor/ruleset.h"
#include "tools/doctor/units.h"
#include "tools/doctor/words.h"

namespace cs::doctor {

namespace {

constexpr std::int64_t reassembly = -400;  // where the kernel puts fragments together

std::string delete_command(const Rule& rule) {
  return "nft delete rule " + rule.chain + " handle " + std::to_string(rule.handle);
}

const BaseChain* chain_of(const Ruleset& ruleset, const Rule& rule) {
  const auto found = std::ranges::find(ruleset.chains, rule.chain, &BaseChain::name);
  return found == ruleset.chains.end() ? nullptr : &*found;
}

// Rules this does not read: of the older iptables, beside nftables.
bool has_legacy_tables(const Machine& machine) {
  return !machine.line("/proc/net/ip_tables_names").empty() ||
         !machine.line("/proc/net/ip6_tables_names").empty();
}

Finding without_esp(const BaseChain& chain) {
  const std::string insert = "nft insert rule " + chain.name;
  return {Verdict::warning, chain.name + " drops what no rule admits, and no rule names ESP",
          insert + " meta l4proto '{ esp, ah }' accept; " + insert +
              " udp dport '{ 500, 4500 }' accept",
          "put the same into the file these rules come from"};
}

// The first that keeps ESP from us: one that drops it by name, or a chain that drops what it does
// not name and names none.
std::optional<Finding> find_obstacle(const Ruleset& ruleset) {
  for (const Rule& rule : ruleset.rules) {
    if (rule.drops && rule.names_ipsec) {
      return Finding{Verdict::warning, "a rule of " + rule.chain + " drops ESP or AH",
                     delete_command(rule)};
    }
  }
  for (const BaseChain& chain : ruleset.chains) {
    const bool named = std::ranges::any_of(ruleset.rules, [&](const Rule& rule) {
      return rule.names_ipsec && rule.chain.starts_with(chain.table + " ");
    });
    if (!chain.drops || named || chain.hook == "forward") continue;
    return without_esp(chain);
  }
  return std::nullopt;
}

bool flushes(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("flush ruleset")) return true;
  }
  return false;
}

bool is_wanted(const Unit& unit) {
  const auto is = [&](const char* property, std::string_view value) {
    const auto found = unit.find(property);
    return found != unit.end() && found->second == value;
  };
  return is("ActiveState", "active") || is("UnitFileState", "enabled");
}

}  // namespace

Finding look_at_defragmentation(const Machine& machine) {
  for (const std::string module : {"ip6table_raw", "iptable_raw"}) {
    const std::string file = "/sys/module/" + module + "/parameters/raw_before_defrag";
    if (machine.line(file) != "Y") continue;
    return {Verdict::warning,
            file + " is on: a NOTRACK of the raw table keeps fragments apart, and they are dropped",
            {},
            "take raw_before_defrag out of /etc/modprobe.d and boot"};
  }
  const auto ruleset = read_ruleset(machine);
  if (!ruleset.ok()) {
    if (ruleset.error().kind() == ErrorKind::not_found)
      return good("no nftables, so none of its rules");
    return unchecked(ruleset.error());
  }
  for (const Rule& rule : ruleset->rules) {
    const BaseChain* chain = chain_of(*ruleset, rule);
    if (!rule.untracks || chain == nullptr || chain->priority >= reassembly) continue;
    return {Verdict::warning,
            "a notrack in " + rule.chain +
                " comes before reassembly: IPv6 fragments stay apart, and are dropped",
            delete_command(rule)};
  }
  return good("fragments are put together before they are verified");
}

Finding look_at_firewall(const Machine& machine) {
  const auto ruleset = read_ruleset(machine);
  if (!ruleset.ok()) {
    if (ruleset.error().kind() == ErrorKind::not_found)
      return good("no nftables, so none of its rules");
    return unchecked(ruleset.error());
  }
  if (auto obstacle = find_obstacle(*ruleset)) return *obstacle;
  if (has_legacy_tables(machine)) {
    return {Verdict::warning,
            "there are tables of iptables-legacy, which this does not read",
            {},
            "look whether they admit ESP, AH and UDP 500 and 4500: iptables-legacy-save"};
  }
  return good("no rule of others is in the way of ESP");
}

Finding look_at_firewall_reload(const Machine& machine) {
  constexpr std::string_view cure =
      "let the unit that applies nfq-signer's rules start after it, and again when it reloads "
      "(OPERATIONS.md, step 2); the marks of the SAs protect meanwhile";
  const auto units = read_units(machine);
  if (!units.ok()) return unchecked(units.error());
  for (const std::string name : {"firewalld", "ufw"}) {
    const auto unit = units->find(name);
    if (unit == units->end() || !is_wanted(unit->second)) continue;
    return {Verdict::warning,
            name + " makes the rules here, and may take ours away when it reloads",
            {},
            std::string(cure)};
  }
  const auto nftables = units->find("nftables");
  const auto file = machine.head("/etc/nftables.conf");
  if (file.ok() && flushes(*file) && nftables != units->end() && is_wanted(nftables->second)) {
    return {Verdict::warning,
            "/etc/nftables.conf begins with flush ruleset: a reload takes our rules away",
            {},
            std::string(cure)};
  }
  return good("nothing that is enabled takes rules of others away");
}

}  // namespace cs::doctor
