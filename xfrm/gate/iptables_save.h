// SPDX-License-Identifier: GPL-3.0-or-later
// What of the gate is in what iptables-save says.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cs::xfrm {

inline constexpr std::string_view gate_prefix = "CSGATE_";

// Where the packets of strangers end.
inline constexpr std::string_view gate_strangers_in = "CSGATE_NOBODY_IN";
inline constexpr std::string_view gate_strangers_out = "CSGATE_NOBODY_OUT";

struct SavedGate {
  std::vector<std::string> chains;
  std::string unhook;  // the lines that take away the jumps to them from elsewhere
};
SavedGate read_saved_gate(std::string_view saved);

}  // namespace cs::xfrm
