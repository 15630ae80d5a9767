// SPDX-License-Identifier: GPL-3.0-or-later
// The file of policies and SAs that are ours: what is accepted is exactly what would be written.
#include <string>
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "xfrm/install/install_memory.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto memory = cs::xfrm::parse_install_memory(text);
  if (!memory.ok()) return 0;
  const auto written = cs::xfrm::format_install_memory(*memory);
  cs::fuzz::expect(written.ok(), "too many");
  const auto again = cs::xfrm::parse_install_memory(*written);
  cs::fuzz::expect(again.ok() && *again == *memory, "what is written is not what was read");
  return 0;
}
