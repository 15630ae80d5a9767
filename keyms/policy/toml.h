// SPDX-License-Identifier: GPL-3.0-or-later
// The core policy as a person writes and reads it: docs/POLICY.md.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "keyms/policy/core_policy.h"

namespace cs::keyms {

inline constexpr std::size_t max_toml = std::size_t{1024} * 1024;

// A policy that validates, in its one order. `name` is the file's; an error has its line and
// column, and what may have been meant.
Result<CorePolicy> parse_toml_policy(std::string_view text, const std::string& name);

// Each field with its value, and comments that say what it means. A policy that validates comes
// back from it the same; what one lacks that does not is left to be filled in, and says so.
[[nodiscard]] std::string toml_text(const CorePolicy& policy);
// The same fields in JSON, of a policy that validates.
Result<std::string> json_text(const CorePolicy& policy);

}  // namespace cs::keyms
