// SPDX-License-Identifier: GPL-3.0-or-later
// What one core policy says otherwise than another, in the words of a network engineer, and what
// that means for security.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "keyms/policy/core_policy.h"

namespace cs::keyms {

enum class Effect : std::uint8_t {
  wider,     // more traffic is protected, or more of a gateway is taken for it
  narrower,  // less
  weaker,    // less is asked of a gateway or of a packet
  stronger,  // more
  other,     // neither, or nobody can say
};
[[nodiscard]] std::string_view text(Effect effect) noexcept;

struct Change {
  Effect effect = Effect::other;
  std::string part;      // "tunnel lan", "berlin-1", "signing"; empty: all of it
  std::string sentence;  // "10.1.0.0/16 of berlin-1 becomes 10.1.0.0/15: more is protected"
  bool operator==(const Change&) const = default;
};

// From one policy that validates to another; none: they are the same. In the order of the text.
[[nodiscard]] std::vector<Change> changes(const CorePolicy& before, const CorePolicy& after);

}  // namespace cs::keyms
