// SPDX-License-Identifier: GPL-3.0-or-later
// The attestation service's socket, both ends: docs/PROTOCOL.md. For one thread and its event loop:
// nothing blocks, nothing starts a thread. Poll fd() for events(), call receive() until it gives
// nothing, flush() when the socket can be written, and tick() at deadline().
//
// An error of receive(), send(), flush() or tick() ends the connection, and with it all its
// channels: fd() is then -1, and the error says why, for the log. Exceptions are named where they
// are.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <type_traits>
#include <variant>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "keyms/carrier/channels.h"
#include "keyms/carrier/service_protocol.h"
#include "keyms/datagram_socket.h"

namespace cs::keyms::carrier {

// Who is at the other end.
enum class Other : std::uint8_t {
  carrier,  // anybody's, at the listening socket
  worker,   // keymsd's own, which is told and tells more
};

// The service's end of one connection. Takes no message before a hello of its own version, which it
// answers itself, and hands on. A close by the carrier it answers, and hands on. The clock must
// outlive it.
class ServiceConnection {
 public:
  static constexpr auto hello_within = Patience::hello_within;
  static constexpr auto reads_within = Patience::reads_within;

  static Result<ServiceConnection> create(const Clock& clock, UniqueFd fd, Other other);

  [[nodiscard]] int fd() const noexcept { return socket_.fd(); }
  [[nodiscard]] short events() const noexcept { return socket_.events(); }
  [[nodiscard]] bool agreed() const noexcept { return agreed_; }
  // How many messages may be sent before one would be too much.
  [[nodiscard]] std::size_t room() const noexcept { return socket_.room(); }

  // None: nothing is there now.
  Result<std::optional<FromCarrier>> receive();

  // `limit`, and disconnected: the carrier does not read. `invalid`, and still connected: the
  // message breaks a rule of the protocol, is of a channel that is not open, or too early.
  Result<void> send(const Open& message) { return post(message); }
  Result<void> send(const Data& message);
  Result<void> send(const Grant& message);
  // The last message of a channel from here; the carrier answers it with a close of its own.
  Result<void> send(const Deny& message);
  Result<void> send(const Close& message);
  // To a worker.
  Result<void> send(const OwnEndpoint& message) { return post(message); }
  Result<void> send(const KnownPeer& message) { return post(message); }
  Result<void> send(const Listener& message, UniqueFd socket);
  Result<void> send(const Configured& message) { return post(message); }
  Result<void> send(const Dial& message, UniqueFd socket);
  Result<void> flush() { return written(socket_.flush()); }

  // Those that we have closed and the carrier has not answered are among them.
  [[nodiscard]] std::size_t channels() const noexcept { return channels_.size(); }

  // When tick() will give up on who says no hello, or does not read.
  [[nodiscard]] std::optional<BootTime> deadline() const noexcept {
    return patience_.deadline(socket_);
  }
  Result<void> tick() { return patience_.tick(socket_); }

 private:
  ServiceConnection(const Clock& clock, DatagramSocket socket, Other other);
  template <class Message>
  Result<void> post(const Message& message, UniqueFd descriptor = {}) {
    CS_CHECK(check_agreed());
    return written(socket_.send([&message](ByteSpan out) { return encode(message, out); },
                                std::move(descriptor)));
  }
  [[nodiscard]] Result<void> check_agreed() const;
  Result<void> welcome(const Hello& hello);
  // Whether it is to be handed on.
  Result<bool> take(const FromCarrier& message);
  Result<bool> take_close(const Close& close);
  Result<void> written(Result<void> result);

  DatagramSocket socket_;
  Other other_;
  Channels channels_;
  Patience patience_;
  bool agreed_ = false;
};

// The service's listening socket, for other people's carriers.
class ServiceListener {
 public:
  // base/unix_socket.h says what may be at `path`.
  static Result<ServiceListener> open(const Clock& clock, std::string path, uid_t allowed_uid);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // None: nobody waits. `denied`: somebody was turned away who is not allowed; listening goes on,
  // as it does after any other error.
  Result<std::optional<ServiceConnection>> accept();

 private:
  ServiceListener(const Clock& clock, UniqueFd fd, std::string path, uid_t allowed_uid)
      : clock_(&clock), fd_(std::move(fd)), path_(std::move(path)), allowed_uid_(allowed_uid) {}

  const Clock* clock_;
  UniqueFd fd_;
  std::string path_;
  uid_t allowed_uid_;
};

// A carrier's end, on a connected socket. Says hello at once. A close by the service it answers,
// and hands on; a deny it hands on, and the carrier sends a close once it has revoked what it set
// up.
class CarrierConnection {
 public:
  // The service's own worker may be told more than others.
  static Result<CarrierConnection> create(UniqueFd fd, const Hello& hello, Other self);

  [[nodiscard]] int fd() const noexcept { return socket_.fd(); }
  [[nodiscard]] short events() const noexcept { return socket_.events(); }
  [[nodiscard]] bool agreed() const noexcept { return agreed_; }
  [[nodiscard]] std::size_t room() const noexcept { return socket_.room(); }

  // The first message of a connection is a welcome. None: nothing is there now.
  Result<std::optional<FromService>> receive();
  // The socket that came with the last message; none: it had none.
  [[nodiscard]] UniqueFd take_descriptor() noexcept { return socket_.take_descriptor(); }

  // As ServiceConnection::send().
  Result<void> send(const Connect& message);
  Result<void> send(const Data& message);
  Result<void> send(const Close& message);
  Result<void> send(const Unreachable& message) { return post(message); }
  Result<void> send(const Stats& message) { return post(message); }
  Result<void> flush() { return socket_.flush(); }

 private:
  CarrierConnection(DatagramSocket socket, Other self) : socket_(std::move(socket)), self_(self) {}
  template <class Message>
  Result<void> post(const Message& message) {
    CS_CHECK(check_agreed());
    return socket_.send([&message](ByteSpan out) { return encode(message, out); });
  }
  [[nodiscard]] Result<void> check_agreed() const;
  Result<void> take_welcome(const FromService& message);
  Result<bool> take(const FromService& message);
  Result<bool> take_close(const Close& close);

  DatagramSocket socket_;
  Other self_;
  Channels channels_;
  bool agreed_ = false;
};

}  // namespace cs::keyms::carrier
