// SPDX-License-Identifier: GPL-3.0-or-later
// What a gateway's kernel does otherwise than agreed, in the words of a network engineer.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cs::xfrm {

enum class Severity : std::uint8_t {
  breach,  // something passes that may not, or less protected than agreed
  fault,   // nothing passes that may not, but the tunnel does not do what was agreed
  note,    // worth knowing, and may be as it should
};

enum class Code : std::uint8_t {
  policy_missing,
  policy_narrowed,
  policy_widened,
  policy_in_clear,
  policy_blocks,
  policy_templates,
  template_protocol,
  template_mode,
  template_endpoints,
  template_optional,
  template_algorithms,
  policy_mark,
  policy_mark_gap,
  policy_interface_id,
  policy_flags,
  policy_offload,
  policy_context,
  policy_expires,
  policy_attribute,
  policy_duplicate,
  policy_order,
  policy_bypass,
  policy_shadowed,
  policy_blocked,
  policy_extra,
  policy_sub,
  bypass_missing,
  socket_bypass,
  socket_block,
  socket_other,
  default_policy,
  disable_xfrm,
  disable_policy,
  sa_missing,
  sa_unknown,
  ike_silent,
  sa_endpoints,
  sa_protocol,
  sa_mode,
  sa_algorithm,
  sa_sequence_numbers,
  sa_replay_window,
  sa_udp,
  sa_mark,
  sa_output_mark,
  sa_interface_id,
  sa_lifetime,
  sa_flags,
  sa_selector,
  sa_direction,
  sa_offload,
  sa_attribute,
  too_many,
};
inline constexpr std::size_t code_count = static_cast<std::size_t>(Code::too_many) + 1;

struct Meaning {
  std::string_view name;  // stable: logs, metrics and evidence carry it
  Severity severity;
  std::string_view hint;  // what to do
};
[[nodiscard]] const Meaning& meaning(Code code) noexcept;
[[nodiscard]] std::string_view text(Severity severity) noexcept;

struct Difference {
  Code code = Code::too_many;
  std::string tunnel;    // empty: of the whole machine
  std::string sentence;  // one line, the same for as long as it is the same thing
  // NOLINTNEXTLINE(modernize-use-nullptr): it takes the 0 of the comparison for a pointer.
  auto operator<=>(const Difference&) const = default;
};

inline constexpr std::size_t max_differences = 1000;

// Gathers differences, up to the limit; the last one then says that there are more.
class Differences {
 public:
  void add(Code code, std::string_view tunnel, const std::string& sentence);
  // That not everything could be looked at; told once.
  void cut(std::string sentence);
  [[nodiscard]] std::vector<Difference> take() noexcept { return std::move(found_); }

 private:
  std::vector<Difference> found_;
  bool cut_ = false;
};

}  // namespace cs::xfrm
