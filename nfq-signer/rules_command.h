// SPDX-License-Identifier: GPL-3.0-or-later
// `nfq-signer rules`, behind its command line.
#pragma once

#include <cstdint>
#include <iosfwd>

#include "base/result.h"
#include "nfq-signer/rules_apply.h"

namespace cs {

struct RulesRequest {
  enum class Kind : std::uint8_t { none, nft, iptables, tc, swanctl };
  enum class Action : std::uint8_t { print, print_removal, apply, remove, check };

  Kind kind = Kind::none;  // none: tell what this machine can
  Action action = Action::print;
  RuleOptions options;
};

// Writes what was asked for to `out`. Fails with not_found when a check finds nothing.
Result<void> run_rules(const RulesRequest& request, std::ostream& out);

}  // namespace cs
