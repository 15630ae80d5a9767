// SPDX-License-Identifier: GPL-3.0-or-later
// One NFQUEUE, in bulk: many packets per receive, many verdicts per send, no allocation in between.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "xfrm/queue/queue_message.h"

namespace cs {

// The longest packet a verdict can carry: an attribute's length has 16 bits and counts its header.
inline constexpr std::size_t max_queue_payload = 65535 - 4;

// The bits of a packet's mark that a verdict sets; all others stay as they are.
struct Mark {
  std::uint32_t value = 0;
  std::uint32_t mask = 0;
  // For accept(): the kernel knows no mask, it replaces the whole.
  [[nodiscard]] std::optional<std::uint32_t> of(const QueuedPacket& packet) const noexcept {
    if (mask == 0) return std::nullopt;
    return (packet.mark & ~mask) | (value & mask);
  }
};

// A listener in the network namespace it was opened in. For one thread. When it closes, the kernel
// drops what still waits.
class Queue {
 public:
  struct Options {
    std::uint16_t number = 0;
    std::uint32_t length = 2048;             // more than this without a verdict: the kernel drops
    std::size_t receive_buffer = 16U << 20;  // bytes; fuller than this: the kernel drops
    std::size_t slots = 512;                 // packets held here at a time
  };
  struct Counters {
    std::uint64_t received = 0;
    std::uint64_t truncated = 0;  // dropped
    std::uint64_t unusable = 0;   // dropped: attributes are missing
    std::uint64_t lost = 0;       // dropped by the kernel because the receive buffer was full
    std::uint64_t refused = 0;    // verdicts the kernel did not take
  };
  // A packet that was received and not released yet.
  struct Held {
    QueuedPacket packet;
    std::uint32_t slot = 0;
  };

  // Fails if the kernel has no NFQUEUE, the caller lacks CAP_NET_ADMIN, or somebody listens
  // already.
  static Result<Queue> open(const Options& options);

  Queue(Queue&& other) noexcept;
  Queue& operator=(Queue&& other) noexcept;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue();

  // Readable when packets wait.
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] std::size_t free_slots() const noexcept { return free_.size(); }

  // Appends up to `most` of the packets that wait, as far as slots are free; never waits.
  Result<void> receive(std::size_t most, std::vector<Held>& out);
  // Its payload is no longer needed. Its verdict is a matter of its own.
  void release(const Held& held) noexcept { free_.push_back(held.slot); }

  // Verdicts are collected and sent by flush(), or before when there is no room left. A mark
  // replaces the packet's; without one it stays.
  Result<void> drop(std::uint32_t id);
  Result<void> accept(std::uint32_t id, std::optional<std::uint32_t> mark);
  // Accept, with these bytes in the packet's place. They lie in the packet's room() and must stay
  // as they are until flush(), which is to come before the next receive().
  Result<void> accept_as(const Held& held, std::optional<std::uint32_t> mark, ByteSpan packet);
  // `size` bytes of the memory the packet is in, at most max_queue_payload, from `before` bytes in
  // front of it on, at most room_before.
  [[nodiscard]] ByteSpan room(const Held& held, std::size_t before, std::size_t size) const;
  static constexpr std::size_t room_before = 64;
  Result<void> flush();

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct Arena;

  Queue(const Options& options, UniqueFd socket);
  Result<void> configure(const Options& options);
  Result<void> send_config(std::uint16_t type, ByteView value, bool wait, const char* tried);
  Result<void> take(std::size_t index, std::uint32_t slot, std::vector<Held>& out);
  void count_gap(std::uint32_t id) noexcept;
  Result<void> decide(std::uint32_t id, std::uint32_t verdict, std::optional<std::uint32_t> mark);
  Result<void> make_room();
  void add_piece(ByteSpan bytes);

  std::uint16_t number_;
  UniqueFd socket_;
  std::unique_ptr<Arena> arena_;
  std::vector<std::uint32_t> free_;
  // Verdicts that wait for flush(): those without a packet are in `small_`, the others in the
  // packets' own slots.
  std::vector<iovec> pieces_;
  std::size_t pieces_size_ = 0;
  std::vector<std::uint8_t> small_;
  std::size_t small_used_ = 0;
  std::uint32_t last_id_ = 0;
  Counters counters_;
};

}  // namespace cs
