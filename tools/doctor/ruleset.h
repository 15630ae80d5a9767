// SPDX-License-Identifier: GPL-3.0-or-later
// What `nft -j list ruleset` says, as far as it concerns us; our own tables left out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/doctor/machine.h"

namespace cs::doctor {

struct Rule {
  std::string chain;  // "inet filter input", as nft wants it
  std::uint64_t handle = 0;
  bool drops = false;
  bool untracks = false;
  bool names_ipsec = false;  // ESP, AH, or what the kernel took out of them
};

struct BaseChain {
  std::string name;   // "inet filter input"
  std::string table;  // "inet filter"
  std::string hook;
  std::int64_t priority = 0;
  bool drops = false;  // by its policy
};

struct Ruleset {
  std::vector<BaseChain> chains;
  std::vector<Rule> rules;
};

Result<Ruleset> parse_ruleset(std::string_view json);
// not_found: there is no nft.
Result<Ruleset> read_ruleset(const Machine& machine);

}  // namespace cs::doctor
