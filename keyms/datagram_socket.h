// SPDX-License-Identifier: GPL-3.0-or-later
// One connected SOCK_SEQPACKET socket that carries secrets: never blocks, bounds what waits, and
// leaves no copy behind. signer_channel.h puts the protocol on it.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/unique_fd.h"
#include "keyms/signer_protocol.h"

namespace cs::keyms {

// Both buffers are locked memory (68 KB), and wiped as soon as a message has left them. Any error
// but those of `encode` closes the socket; from then on every call fails with `closed`.
class DatagramSocket {
 public:
  static constexpr std::size_t queue_length = 64;

  // A connected, non-blocking socket.
  static Result<DatagramSocket> create(UniqueFd fd);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }  // -1 once closed
  [[nodiscard]] std::size_t room() const noexcept { return queue_length - queued_; }
  // What to poll for.
  [[nodiscard]] short events() const noexcept;
  // Messages that the kernel has taken, since the beginning.
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }

  // Sends what encode(ByteSpan) -> Result<ByteView> writes into the memory it is given, or queues
  // it. Without room() the socket is closed: the reader is too slow.
  template <class Encode>
  Result<void> send(const Encode& encode) {
    CS_CHECK(check_room());
    const ByteSpan slot = next_slot();
    const Result<ByteView> message = encode(slot);
    if (!message.ok()) {
      wipe(slot);
      return message.error();
    }
    return commit(message->size());
  }
  // Sends as much of the queue as the kernel takes.
  Result<void> flush();

  // decode(ByteView) -> Result<Message> of the next datagram; none if none is there.
  template <class Message>
  Result<std::optional<Message>> receive(Result<Message> (*decode)(ByteView)) {
    CS_TRY(const std::size_t size, fill());
    if (size == 0) return std::optional<Message>();
    const ByteSpan received = received_.bytes().first(size);
    Result<Message> message = decode(received);
    wipe(received);
    if (!message.ok()) return close(std::move(message).error());
    return std::optional<Message>(std::move(message).value());
  }

  // Wipes what waits. Returns `why`, for `return close(...)`.
  Error close(Error why) noexcept;

 private:
  DatagramSocket(UniqueFd fd, SecretBytes received, SecretBytes slots) noexcept
      : fd_(std::move(fd)), received_(std::move(received)), slots_(std::move(slots)) {}

  static void wipe(ByteSpan bytes) noexcept;
  Result<void> check_room();
  ByteSpan slot(std::size_t index) noexcept {
    return slots_.bytes().subspan(index % queue_length * max_message, max_message);
  }
  ByteSpan next_slot() noexcept { return slot(first_ + queued_); }
  Result<void> commit(std::size_t size);
  // Bytes now in received_; 0 if nothing was there.
  Result<std::size_t> fill();

  UniqueFd fd_;
  SecretBytes received_;
  SecretBytes slots_;  // a ring
  std::array<std::uint16_t, queue_length> sizes_{};
  std::size_t first_ = 0;
  std::size_t queued_ = 0;
  std::uint64_t sent_ = 0;
};

// Who is at the other end, as the kernel saw it when it connected (or began to listen).
struct PeerProcess {
  pid_t pid = 0;
  uid_t uid = 0;
};
Result<PeerProcess> peer_of(const UniqueFd& fd);

}  // namespace cs::keyms
