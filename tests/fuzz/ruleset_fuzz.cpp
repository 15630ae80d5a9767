// SPDX-License-Identifier: GPL-3.0-or-later
// What nft lists: whatever it says, names of it are words of a shell.
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "tools/doctor/ruleset.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ruleset = cs::doctor::parse_ruleset(text);
  if (!ruleset.ok()) return 0;
  for (const cs::doctor::Rule& rule : ruleset->rules) {
    const bool is_quoted = rule.chain.find('\'') != std::string::npos;
    cs::fuzz::expect(is_quoted || rule.chain.find_first_of(";&|`$(<\n") == std::string::npos,
                     "a name would be a command");
  }
  for (const cs::doctor::BaseChain& chain : ruleset->chains) {
    cs::fuzz::expect(chain.name.starts_with(chain.table + " "), "a chain is not of its table");
  }
  return 0;
}
