// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's table of UDP sockets: whatever it says, only sockets of IKE are told.
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "xfrm/state/ike_sockets.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto sockets = cs::xfrm::parse_udp_table(text);
  if (!sockets.ok()) return 0;
  for (const auto& one : *sockets) {
    cs::fuzz::expect(one.port == 500 || one.port == 4500, "another socket");
  }
  return 0;
}
