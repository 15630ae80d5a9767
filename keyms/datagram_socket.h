// SPDX-License-Identifier: GPL-3.0-or-later
// One connected SOCK_SEQPACKET socket: never blocks, bounds what waits, and leaves no copy of a
// message behind. signer_channel.h and carrier/service_channel.h put their protocols on it.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/unique_fd.h"

namespace cs::keyms {

// What goes over a socket.
struct DatagramKind {
  std::string_view name;            // "the data plane's socket", for errors
  std::size_t max_message = 0;      // below 64 KiB
  bool locked = true;               // it carries secrets: not swapped, not in core dumps
  bool descriptors_arrive = false;  // at most one with a message; else the kernel closes them
};

// Memory for messages, as its kind of socket wants it.
class DatagramMemory {
 public:
  static Result<DatagramMemory> create(std::size_t size, bool locked);
  [[nodiscard]] ByteSpan bytes() noexcept {
    return locked_ ? locked_->bytes() : ByteSpan(plain_.get(), size_);
  }

 private:
  std::optional<SecretBytes> locked_;
  // Takes no memory before it is written to, as a vector would.
  std::unique_ptr<std::uint8_t[]> plain_;  // NOLINT(*-avoid-c-arrays)
  std::size_t size_ = 0;
};

// Both buffers are wiped as soon as a message has left them. Any error but those of `encode` closes
// the socket; from then on every call fails with `closed`.
class DatagramSocket {
 public:
  static constexpr std::size_t queue_length = 64;

  // A connected, non-blocking socket. `kind` must outlive it.
  static Result<DatagramSocket> create(UniqueFd fd, const DatagramKind& kind);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }  // -1 once closed
  [[nodiscard]] std::size_t room() const noexcept { return queue_length - queued_; }
  // What to poll for.
  [[nodiscard]] short events() const noexcept;
  // Messages that the kernel has taken, since the beginning.
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }

  // Sends what encode(ByteSpan) -> Result<ByteView> writes into the memory it is given, or queues
  // it, with a descriptor if there is one. Without room() the socket is closed: the reader is too
  // slow.
  template <class Encode>
  Result<void> send(const Encode& encode, UniqueFd descriptor = {}) {
    CS_CHECK(check_room());
    const ByteSpan slot = next_slot();
    const Result<ByteView> message = encode(slot);
    if (!message.ok()) {
      wipe(slot);
      return message.error();
    }
    return commit(message->size(), std::move(descriptor));
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
  // The descriptor that came with the last message, once; none: it had none.
  [[nodiscard]] UniqueFd take_descriptor() noexcept { return std::move(arrived_); }

  // Wipes what waits. Returns `why`, for `return close(...)`.
  Error close(Error why) noexcept;

 private:
  DatagramSocket(UniqueFd fd, const DatagramKind& kind, DatagramMemory received,
                 DatagramMemory slots) noexcept
      : kind_(&kind),
        fd_(std::move(fd)),
        received_(std::move(received)),
        slots_(std::move(slots)) {}

  static void wipe(ByteSpan bytes) noexcept;
  [[nodiscard]] Error gone() const;
  Result<void> check_room();
  ByteSpan slot(std::size_t index) noexcept {
    return slots_.bytes().subspan(index % queue_length * kind_->max_message, kind_->max_message);
  }
  ByteSpan next_slot() noexcept { return slot(first_ + queued_); }
  Result<void> commit(std::size_t size, UniqueFd descriptor);
  // As send(2), with the descriptor that waits in this slot.
  [[nodiscard]] ssize_t push(std::size_t index, ByteSpan message) const noexcept;
  // As recv(2) with MSG_TRUNC; a descriptor goes to arrived_.
  [[nodiscard]] ssize_t pull(ByteSpan into) noexcept;
  // Bytes now in received_; 0 if nothing was there.
  Result<std::size_t> fill();

  const DatagramKind* kind_;
  UniqueFd fd_;
  UniqueFd arrived_;
  DatagramMemory received_;
  DatagramMemory slots_;  // a ring
  std::array<std::uint16_t, queue_length> sizes_{};
  std::array<UniqueFd, queue_length> descriptors_;
  std::size_t first_ = 0;
  std::size_t queued_ = 0;
  std::uint64_t sent_ = 0;
};

// How long a service waits for the other end of a socket: to say hello, and then to read.
class Patience {
 public:
  static constexpr std::chrono::seconds hello_within{5};
  static constexpr std::chrono::seconds reads_within{10};

  // `other` is for errors: "nfq-signer". Clock and words must outlive it.
  Patience(const Clock& clock, std::string_view other)
      : clock_(&clock), other_(other), deadline_(clock.boot() + hello_within) {}

  // It has said hello: from then on it has to read.
  void agreed() noexcept {
    agreed_ = true;
    deadline_.reset();
  }
  // To be told after each send and flush.
  void written(const DatagramSocket& socket) noexcept;
  [[nodiscard]] std::optional<BootTime> deadline(const DatagramSocket& socket) const noexcept;
  // At the deadline: closes the socket, and says why (timed_out).
  Result<void> tick(DatagramSocket& socket) const;

 private:
  const Clock* clock_;
  std::string_view other_;
  std::optional<BootTime> deadline_;
  std::uint64_t sent_before_ = 0;
  bool agreed_ = false;
};

// Who is at the other end, as the kernel saw it when it connected (or began to listen).
struct PeerProcess {
  pid_t pid = 0;
  uid_t uid = 0;
};
Result<PeerProcess> peer_of(const UniqueFd& fd, std::string_view socket);

// Who may connect to a socket at `path`.
struct AllowedAt {
  const std::string& path;
  uid_t uid = 0;
  std::string_view who;  // for the hint: "nfq-signer"
};
// The next who connects to the listening socket of this name. None: nobody waits. `denied`:
// somebody was turned away who is not allowed.
Result<std::optional<UniqueFd>> accept_peer(const UniqueFd& listener, std::string_view socket,
                                            const AllowedAt& allowed);

}  // namespace cs::keyms
