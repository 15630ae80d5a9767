// SPDX-License-Identifier: GPL-3.0-or-later
// Any packet: at most one SA is read from it, and nothing behind it.
#include <netinet/in.h>

#include <vector>

#include "tests/fuzz/fuzz.h"
#include "xfrm/gate/sa_of.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> packet(data, data + size);
  const auto sa = cs::xfrm::sa_of(packet);
  if (!sa) return 0;
  cs::fuzz::expect(sa->spi != 0, "an SPI that no SA has");
  cs::fuzz::expect(sa->protocol == IPPROTO_ESP || sa->protocol == IPPROTO_AH, "no SA's protocol");
  cs::fuzz::expect(packet.size() >= (sa->destination.ipv6 ? 44U : 24U), "read behind the packet");
  return 0;
}
