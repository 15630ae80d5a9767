// SPDX-License-Identifier: GPL-3.0-or-later
// What routes had before we changed their MTU, in a file, so that whoever comes after a process
// that was killed can put it back.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "xfrm/route/route_message.h"

namespace cs::rt {

struct Remembered {
  RouteKey key;
  std::uint32_t original = 0;  // its MTU before us; 0: it had none
  // The last two we decided on: a process may be killed between writing this and setting it, and
  // then the route has the older one.
  std::array<std::uint32_t, 2> ours{};

  [[nodiscard]] bool is_ours(std::uint32_t mtu) const noexcept {
    return mtu != 0 && (mtu == ours[0] || mtu == ours[1]);
  }
  bool operator==(const Remembered&) const = default;
};

inline constexpr std::size_t max_remembered = 4096;

// No file is no routes. Refuses a file that is not exactly of the form written, rather than act on
// half of it.
Result<std::vector<Remembered>> read_memory(const std::string& path);
Result<std::vector<Remembered>> parse_memory(std::string_view text);
std::string format_memory(const std::vector<Remembered>& routes);

// Either the old file or the new one is there, whenever it ends. None for no routes. The directory
// must be there, and nobody else may write to it.
Result<void> write_memory(const std::string& path, const std::vector<Remembered>& routes);

}  // namespace cs::rt
