// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's tables of sockets: whatever they say, only UDP sockets of IKE are told, and no more
// TCP sockets than there are lines.
#include <algorithm>
#include <cstddef>
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "xfrm/state/ike_sockets.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto counted = cs::xfrm::parse_tcp_table(text);
  if (counted.ok()) {
    std::size_t sum = 0;
    for (const auto& [port, sockets] : *counted) sum += sockets;
    cs::fuzz::expect(sum <= static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1,
                     "more sockets than lines");
  }
  const auto sockets = cs::xfrm::parse_udp_table(text);
  if (!sockets.ok()) return 0;
  for (const auto& one : *sockets) {
    cs::fuzz::expect(one.port == 500 || one.port == 4500, "another socket");
  }
  return 0;
}
