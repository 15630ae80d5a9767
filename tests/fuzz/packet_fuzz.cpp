// SPDX-License-Identifier: GPL-3.0-or-later
// The tests' own IP packets: what is read lies inside, what is resized or cut in two is whole
// again.
#include "tests/fuzz/fuzz.h"
#include "tests/support/packet.h"

namespace {

using cs::fuzz::expect;
using namespace cs::test;

void try_resizing(const Bytes& packet, std::ptrdiff_t change) {
  Bytes changed = packet;
  if (!resize_packet(changed, change)) {
    expect(changed == packet, "refused, yet changed");
    return;
  }
  expect(changed.size() == packet.size() + static_cast<std::size_t>(change), "another size");
  expect(parse_ip(changed).has_value(), "not a packet after resizing");
}

void try_fragmenting(const Bytes& packet, const IpView& ip) {
  if (ip.payload.size() <= 8 || ip.payload.size() + 8 > 0xffff) return;
  for (const Bytes& piece : fragment(packet, 8)) {
    expect(parse_ip(piece).has_value(), "not a packet after cutting");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes packet(data + 1, data + size);
  const auto ip = parse_ip(packet);
  expect(ip || !esp_numbers(packet), "ESP in what is no packet");
  try_resizing(packet, static_cast<std::int8_t>(data[0]));
  if (!ip) return 0;
  expect(ip->header_size + ip->payload.size() == packet.size(), "header and payload are not all");
  expect(ip->payload.data() + ip->payload.size() == packet.data() + packet.size(), "not its end");
  try_fragmenting(packet, *ip);
  return 0;
}
