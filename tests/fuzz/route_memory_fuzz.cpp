// SPDX-License-Identifier: GPL-3.0-or-later
// The file of remembered routes: what is accepted is exactly what would be written.
#include <string>
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "xfrm/route/route_memory.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto routes = cs::rt::parse_memory(text);
  if (!routes.ok()) return 0;
  cs::fuzz::expect(routes->size() <= cs::rt::max_remembered, "too many");
  const auto again = cs::rt::parse_memory(cs::rt::format_memory(*routes));
  cs::fuzz::expect(again.ok() && *again == *routes, "what is written is not what was read");
  return 0;
}
