// SPDX-License-Identifier: GPL-3.0-or-later
// The data plane's socket, both ends: docs/PROTOCOL.md. For one thread and its event loop: nothing
// blocks, nothing starts a thread. Poll fd() for events(), call receive() until it gives nothing,
// flush() when the socket can be written, and tick() at deadline().
//
// An error of receive(), send(), flush() or tick() ends the connection: fd() is then -1, and the
// error says why, for the log. Exceptions are named where they are.
#pragma once

#include <sys/types.h>

#include <concepts>
#include <optional>
#include <string>
#include <variant>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "keyms/datagram_socket.h"
#include "keyms/signer_protocol.h"

namespace cs::keyms {

namespace detail {
template <class Message, class Variant>
inline constexpr bool is_one_of = false;
template <class Message, class... Messages>
inline constexpr bool is_one_of<Message, std::variant<Messages...>> =
    (std::same_as<Message, Messages> || ...);
}  // namespace detail

template <class Message, class Variant>
concept OneOf = detail::is_one_of<Message, Variant>;

// keymsd's end of one connection. Takes no message before a hello of its own version, which it
// answers itself, and hands on. The clock must outlive it.
class SignerConnection {
 public:
  static constexpr auto hello_within = Patience::hello_within;
  static constexpr auto reads_within = Patience::reads_within;

  static Result<SignerConnection> create(const Clock& clock, UniqueFd fd);

  [[nodiscard]] int fd() const noexcept { return socket_.fd(); }
  [[nodiscard]] short events() const noexcept { return socket_.events(); }
  [[nodiscard]] bool agreed() const noexcept { return agreed_; }
  // How many messages may be sent before one would be too much. Who sends all keys at once keeps
  // some of it for the answers to sign requests, and goes on after flush().
  [[nodiscard]] std::size_t room() const noexcept { return socket_.room(); }

  // None: nothing is there now.
  Result<std::optional<FromSigner>> receive();
  // `limit`, and disconnected: nfq-signer does not read. `invalid`, and still connected: the
  // message breaks a rule of the protocol, or it is too early, for lack of a hello.
  template <OneOf<FromKeymsd> Message>
  Result<void> send(const Message& message) {
    CS_CHECK(check_agreed());
    return written(socket_.send([&message](ByteSpan out) { return encode(message, out); }));
  }
  Result<void> flush() { return written(socket_.flush()); }

  // When tick() will give up on who says no hello, or does not read.
  [[nodiscard]] std::optional<BootTime> deadline() const noexcept {
    return patience_.deadline(socket_);
  }
  Result<void> tick() { return patience_.tick(socket_); }

 private:
  SignerConnection(const Clock& clock, DatagramSocket socket);
  [[nodiscard]] Result<void> check_agreed() const;
  Result<void> welcome(const Hello& hello);
  Result<void> written(Result<void> result);

  DatagramSocket socket_;
  Patience patience_;
  bool agreed_ = false;
};

// keymsd's listening socket.
class SignerListener {
 public:
  // base/unix_socket.h says what may be at `path`.
  static Result<SignerListener> open(const Clock& clock, std::string path, uid_t allowed_uid);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // None: nobody waits. `denied`: somebody was turned away who is not allowed; listening goes on,
  // as it does after any other error.
  Result<std::optional<SignerConnection>> accept();

 private:
  SignerListener(const Clock& clock, UniqueFd fd, std::string path, uid_t allowed_uid)
      : clock_(&clock), fd_(std::move(fd)), path_(std::move(path)), allowed_uid_(allowed_uid) {}

  const Clock* clock_;
  UniqueFd fd_;
  std::string path_;
  uid_t allowed_uid_;
};

// nfq-signer's end: connects, and connects anew when the connection has ended, after a delay that
// doubles from first_delay to last_delay until a welcome comes. The clock must outlive it.
class KeymsdConnection {
 public:
  static constexpr std::chrono::milliseconds first_delay{50};
  static constexpr std::chrono::milliseconds last_delay{2000};

  struct Options {
    std::string path;
    uid_t keymsd_uid = 0;  // who else listens there is not keymsd
    Hello hello;
  };
  // Does not connect yet.
  static Result<KeymsdConnection> create(const Clock& clock, Options options);

  [[nodiscard]] int fd() const noexcept { return socket_ ? socket_->fd() : -1; }
  [[nodiscard]] short events() const noexcept { return socket_ ? socket_->events() : short{0}; }
  [[nodiscard]] bool agreed() const noexcept { return agreed_; }
  [[nodiscard]] std::size_t room() const noexcept { return socket_ ? socket_->room() : 0; }

  // When tick() will try to connect; none while connected.
  [[nodiscard]] std::optional<BootTime> deadline() const noexcept;
  // Connects if it is time to, and says hello. An error: it did not work, the next try is due at
  // deadline().
  Result<void> tick();

  // The first message of a connection is a welcome. None: nothing is there now, or not connected.
  Result<std::optional<FromKeymsd>> receive();
  // Fails with `closed` while not connected and `invalid` before the welcome.
  template <OneOf<FromSigner> Message>
  Result<void> send(const Message& message) {
    CS_CHECK(check_agreed());
    return kept(socket_->send([&message](ByteSpan out) { return encode(message, out); }));
  }
  Result<void> flush() { return socket_ ? kept(socket_->flush()) : Result<void>(); }

 private:
  KeymsdConnection(const Clock& clock, Options options);
  [[nodiscard]] Result<void> check_agreed() const;
  Result<void> connect();
  Result<std::optional<FromKeymsd>> check_order(FromKeymsd message);
  // Of a connection that has ended, arranges for the next.
  Result<void> kept(Result<void> result);
  Error ended(Error why);

  const Clock* clock_;
  Options options_;
  std::optional<DatagramSocket> socket_;
  BootTime next_try_;
  std::chrono::milliseconds delay_ = first_delay;
  bool agreed_ = false;
  bool state_ended_ = false;
};

}  // namespace cs::keyms
