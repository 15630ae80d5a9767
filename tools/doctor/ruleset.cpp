// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/doctor/ruleset.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>

#include "tools/doctor/words.h"

namespace cs::doctor {

namespace {

using Json = nlohmann::json;

std::string word(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

bool is_ours(const std::string& table) {
  return table.starts_with("countersign");
}

// Whether one of the names stands anywhere in it.
bool mentions(const Json& json, std::span<const std::string_view> names) {
  const auto is_one = [&](const std::string& name) {
    return std::ranges::find(names, name) != names.end();
  };
  std::vector<const Json*> left{&json};
  while (!left.empty()) {
    const Json& next = *left.back();
    left.pop_back();
    if (next.is_string() && is_one(next.get_ref<const std::string&>())) return true;
    if (!next.is_structured()) continue;
    for (const auto& [key, value] : next.items()) {
      if (is_one(key)) return true;
      left.push_back(&value);
    }
  }
  return false;
}

// As nft wants it, and a shell.
std::string place(const Json& object, const char* last) {
  return shell_word(word(object, "family")) + " " + shell_word(word(object, "table")) + " " +
         shell_word(word(object, last));
}

BaseChain read_chain(const Json& chain) {
  const std::string name = place(chain, "name");
  return {name, name.substr(0, name.rfind(' ')), word(chain, "hook"), number(chain, "prio"),
          word(chain, "policy") == "drop"};
}

Rule read_rule(const Json& rule) {
  constexpr std::array<std::string_view, 3> ipsec{"esp", "ah", "ipsec"};
  Rule read{place(rule, "chain"), static_cast<std::uint64_t>(number(rule, "handle"))};
  const auto statements = rule.find("expr");
  if (statements == rule.end() || !statements->is_array()) return read;
  for (const Json& statement : *statements) {
    read.drops |= statement.contains("drop") || statement.contains("reject");
    read.untracks |= statement.contains("notrack");
    read.names_ipsec |= mentions(statement, ipsec);
  }
  return read;
}

}  // namespace

Result<Ruleset> parse_ruleset(std::string_view json) {
  const Json told = Json::parse(json, nullptr, false);
  const auto list = told.is_object() ? told.find("nftables") : told.end();
  if (list == told.end() || !list->is_array()) {
    return Error(ErrorKind::invalid, "reading what nft lists: it is no list of rules");
  }
  Ruleset ruleset;
  for (const Json& entry : *list) {
    if (!entry.is_object() || entry.empty() || !entry.begin()->is_object()) continue;
    const Json& object = *entry.begin();
    if (is_ours(word(object, "table"))) continue;
    if (entry.contains("chain") && object.contains("hook")) {
      ruleset.chains.push_back(read_chain(object));
    } else if (entry.contains("rule")) {
      ruleset.rules.push_back(read_rule(object));
    }
  }
  return ruleset;
}

Result<Ruleset> read_ruleset(const Machine& machine) {
  CS_TRY(const CommandOutcome told, machine.run({"nft", "--json", "list", "ruleset"}));
  if (told.exit_code != 0) {
    const std::string why = told.errors.substr(0, told.errors.find('\n'));
    const bool denied = why.find("not permitted") != std::string::npos;
    return Error(denied ? ErrorKind::denied : ErrorKind::io, "nft list ruleset: " + why);
  }
  return parse_ruleset(told.output);
}

}  // namespace cs::doctor
