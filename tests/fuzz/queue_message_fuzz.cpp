// SPDX-License-Identifier: GPL-3.0-or-later
// Netlink messages as a queue's socket could deliver them: nothing outside the message is read.
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/support/nfqueue.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> memory(data, data + size);  // aligned, as what a socket fills
  cs::test::Messages messages(memory);
  while (const nlmsghdr* header = messages.next()) {
    const cs::test::Message message = cs::test::read_message(*header);
    const auto* packet = std::get_if<cs::test::QueuedPacket>(&message);
    if (packet == nullptr) continue;
    const auto* begin = reinterpret_cast<const std::uint8_t*>(header);
    cs::fuzz::expect(!packet->payload.empty(), "an empty packet");
    cs::fuzz::expect(
        packet->payload.data() >= begin &&
            packet->payload.data() + packet->payload.size() <= begin + header->nlmsg_len,
        "a payload outside its message");
  }
  return 0;
}
