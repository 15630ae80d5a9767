// SPDX-License-Identifier: GPL-3.0-or-later
// What is kept of a peer: what is accepted is exactly what would be written.
#include <algorithm>

#include "keyms/evidence/peer_memory.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView bytes(data, size);
  const auto memory = cs::keyms::PeerMemory::decode(bytes);
  if (!memory.ok()) return 0;
  const auto written = memory->encode();
  cs::fuzz::expect(written.ok() && std::ranges::equal(*written, bytes), "not what was read");
  return 0;
}
