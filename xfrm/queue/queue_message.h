// SPDX-License-Identifier: GPL-3.0-or-later
// What the kernel sends to a listener on an NFQUEUE. Trusts no length and no attribute to be there.
#pragma once

#include <cstdint>
#include <variant>

#include "base/bytes.h"

namespace cs {

// A packet, whole.
struct QueuedPacket {
  std::uint32_t id = 0;
  std::uint32_t mark = 0;  // the kernel leaves the attribute out when it is 0
  ByteSpan payload;        // from the IP header on, in the message's memory
};

namespace queue_message {
struct Unusable {  // a packet that cannot be looked at
  enum class Why : std::uint8_t { truncated, attributes };
  Why why = Why::attributes;
  std::uint32_t id = 0;  // 0: not even told which; the kernel counts from 1
};
struct Answer {  // to something we sent; 0 is an acknowledgement
  int error = 0;
};
struct Other {};
}  // namespace queue_message

using QueueMessage = std::variant<QueuedPacket, queue_message::Unusable, queue_message::Answer,
                                  queue_message::Other>;

// One datagram, which is one message.
[[nodiscard]] QueueMessage read_queue_message(ByteSpan datagram) noexcept;

}  // namespace cs
