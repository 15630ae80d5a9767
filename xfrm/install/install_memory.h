// SPDX-License-Identifier: GPL-3.0-or-later
// Which policies and SAs are ours, in a file, so that whoever comes after a process that was killed
// can take them out again. It holds no key.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "xfrm/install/request.h"

namespace cs::xfrm {

// What one name stands for. A process may be killed between writing this and doing it: then some of
// it is not there.
struct Owned {
  std::vector<PolicyId> policies;
  std::vector<SaId> sas;
  bool operator==(const Owned&) const = default;
};

struct InstallMemory {
  std::string boot;       // the kernel's boot id: what an earlier boot had is gone
  std::uint32_t tag = 0;  // on each SA of ours; never 0
  std::map<std::string, Owned> owned;
  bool operator==(const InstallMemory&) const = default;
};

inline constexpr std::size_t max_owned = 16384;  // policies and SAs together
inline constexpr std::size_t max_name = 64;

// Letters, digits, dot, dash and underscore; at most max_name.
Result<void> check_name(std::string_view name);

// Refuses what is not exactly of the form written, rather than act on half of it.
Result<InstallMemory> parse_install_memory(std::string_view text);
// Fails above max_owned.
Result<std::string> format_install_memory(const InstallMemory& memory);

}  // namespace cs::xfrm
