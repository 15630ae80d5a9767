// SPDX-License-Identifier: GPL-3.0-or-later
// Puts the rules of rules.h into the kernel, with the system's own nft, iptables and tc, in the
// network namespace of the caller. Needs CAP_NET_ADMIN (iptables: root).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "nfq-signer/rules.h"

namespace cs {

enum class RuleKind : std::uint8_t {
  nft,       // steer, by nftables
  iptables,  // steer, by iptables and ip6tables
  tc,        // protect: nothing unsigned leaves
};

inline constexpr std::array all_rule_kinds{RuleKind::nft, RuleKind::iptables, RuleKind::tc};

[[nodiscard]] constexpr std::string_view to_string(RuleKind kind) noexcept {
  switch (kind) {
    case RuleKind::nft:
      return "nft";
    case RuleKind::iptables:
      return "iptables";
    case RuleKind::tc:
      return "tc";
  }
  return "unknown";
}

// Whether this machine can take these rules: asks the kernel, changes nothing that has an effect.
// The error says what is missing and what to do. For tc it only looks for program and interfaces.
Result<void> try_rules(RuleKind kind, const RuleOptions& options);

// Applies, or replaces what was applied before. Never both ways of steering: packets would be
// queued twice, so that fails with `exists`. If it fails midway, what is there already stays:
// closed.
Result<void> apply_rules(RuleKind kind, const RuleOptions& options);

// Removes what is there; nothing being there is fine.
Result<void> remove_rules(RuleKind kind, const RuleOptions& options);

// Whether all that apply_rules() makes is hooked in now. A firewall's reload may take it away at
// any time. Not: whether somebody changed what is in it.
Result<bool> rules_in_place(RuleKind kind, const RuleOptions& options);

}  // namespace cs
