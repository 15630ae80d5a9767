// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of compare(); for it alone.
#pragma once

#include <optional>
#include <vector>

#include "xfrm/agreement/compare.h"
#include "xfrm/agreement/precedence.h"

namespace cs::xfrm {

// For each expected policy the position of what stands in its place, if anything does.
using Matches = std::vector<std::optional<std::size_t>>;

struct Comparison {
  Comparison(const Expected& wanted, const State& actual)
      : expected(wanted),
        state(actual),
        index(actual.policies),
        claimed(actual.policies.size(), false) {}

  const Expected& expected;
  const State& state;
  PolicyIndex index;
  std::vector<bool> claimed;  // by position: stands in an expected policy's place, or was told
  Matches matches;
  Differences differences;

  [[nodiscard]] const std::string& tunnel_name(const ExpectedPolicy& one) const;
};

// Finds what stands in the place of each expected policy and compares their contents.
void match_policies(Comparison& c);
// What goes before them, and what else leads into a tunnel.
void find_intruders(Comparison& c);
void compare_sas(Comparison& c);

// The fields of one policy, one difference each.
void compare_contents(const ExpectedPolicy& wanted, const Policy& actual, const std::string& tunnel,
                      Differences& differences);
// Whether these may be the agreed ones: the same, or agreed as any.
[[nodiscard]] bool is_agreed(const Address& agreed, const Address& actual) noexcept;
// Whether a template of the policy has the tunnel's addresses, in this direction. Not in transport
// mode, whose addresses the kernel does not look at.
[[nodiscard]] bool names_pair(const Policy& policy, const Policy& wanted) noexcept;

}  // namespace cs::xfrm
