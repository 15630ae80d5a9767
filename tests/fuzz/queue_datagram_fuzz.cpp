// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as what the kernel sends of an NFQUEUE: what is read of them lies within them.
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "xfrm/queue/queue_message.h"

using namespace cs;
using cs::fuzz::expect;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  std::vector<std::uint8_t> datagram(input.begin(), input.end());
  const QueueMessage message = read_queue_message(datagram);
  const auto* packet = std::get_if<QueuedPacket>(&message);
  if (packet == nullptr) return 0;
  const std::uint8_t* end = datagram.data() + datagram.size();
  const ByteView payload = packet->payload;
  expect(!payload.empty() && payload.data() >= datagram.data() &&
             payload.data() + payload.size() <= end,
         "a payload outside the message");
  return 0;
}
