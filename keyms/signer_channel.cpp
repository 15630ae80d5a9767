// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/signer_channel.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/unix_socket.h"

namespace cs::keyms {

namespace {

constexpr DatagramKind data_plane{"the data plane's socket", max_message};
static_assert(DatagramSocket::queue_length * max_message <= SecretBytes::max_size);

Error version_mismatch(std::string_view other, std::uint16_t version) {
  return Error(ErrorKind::unsupported, std::string(other) + " speaks version " +
                                           std::to_string(version) +
                                           " of the data plane's protocol, this program version " +
                                           std::to_string(signer_protocol_version))
      .with_hint("install keymsd and nfq-signer of one release");
}

Error too_early() {
  return {ErrorKind::invalid, "sending on the data plane's socket before a version is agreed on"};
}

}  // namespace

// keymsd's end.

SignerConnection::SignerConnection(const Clock& clock, DatagramSocket socket)
    : socket_(std::move(socket)), patience_(clock, "nfq-signer") {}

Result<SignerConnection> SignerConnection::create(const Clock& clock, UniqueFd fd) {
  CS_TRY(DatagramSocket socket, DatagramSocket::create(std::move(fd), data_plane));
  return SignerConnection(clock, std::move(socket));
}

Result<void> SignerConnection::check_agreed() const {
  if (agreed_ || socket_.fd() < 0) return {};
  return too_early();
}

// Answers even a version that is not ours, so that the other side can say what is wrong.
Result<void> SignerConnection::welcome(const Hello& hello) {
  CS_CHECK(socket_.send([](ByteSpan out) { return encode(Welcome{}, out); }));
  if (hello.version != signer_protocol_version)
    return socket_.close(version_mismatch("nfq-signer", hello.version));
  agreed_ = true;
  patience_.agreed();
  return written({});
}

Result<std::optional<FromSigner>> SignerConnection::receive() {
  CS_TRY(std::optional<FromSigner> message, socket_.receive(decode_from_signer));
  if (!message) return message;
  const Hello* hello = std::get_if<Hello>(&*message);
  if ((hello == nullptr) != agreed_) {
    return socket_.close(Error(ErrorKind::invalid, agreed_
                                                       ? "nfq-signer says hello a second time"
                                                       : "nfq-signer sends before it says hello"));
  }
  if (hello != nullptr) CS_CHECK(welcome(*hello));
  return message;
}

Result<void> SignerConnection::written(Result<void> result) {
  patience_.written(socket_);
  return result;
}

Result<SignerListener> SignerListener::open(const Clock& clock, std::string path,
                                            uid_t allowed_uid) {
  constexpr int backlog = 4;
  CS_TRY(UniqueFd fd, listen_at(path, SOCK_SEQPACKET, backlog));
  return SignerListener(clock, std::move(fd), std::move(path), allowed_uid);
}

Result<std::optional<SignerConnection>> SignerListener::accept() {
  CS_TRY(std::optional<UniqueFd> fd,
         accept_peer(fd_, data_plane.name, {path_, allowed_uid_, "nfq-signer"}));
  if (!fd) return std::nullopt;
  CS_TRY(SignerConnection connection, SignerConnection::create(*clock_, std::move(*fd)));
  return std::optional<SignerConnection>(std::move(connection));
}

// nfq-signer's end.

KeymsdConnection::KeymsdConnection(const Clock& clock, Options options)
    : clock_(&clock), options_(std::move(options)), next_try_(clock.boot()) {}

Result<KeymsdConnection> KeymsdConnection::create(const Clock& clock, Options options) {
  CS_CHECK(unix_address(options.path));
  return KeymsdConnection(clock, std::move(options));
}

std::optional<BootTime> KeymsdConnection::deadline() const noexcept {
  if (socket_) return std::nullopt;
  return next_try_;
}

Result<void> KeymsdConnection::check_agreed() const {
  if (!socket_) return Error(ErrorKind::closed, "not connected to keymsd");
  if (!agreed_) return too_early();
  return {};
}

Error KeymsdConnection::ended(Error why) {
  const bool unwelcome = socket_ && !agreed_ && why.kind() == ErrorKind::closed;
  socket_.reset();
  agreed_ = state_ended_ = false;
  next_try_ = clock_->boot() + delay_;
  delay_ = std::min(2 * delay_, last_delay);
  if (!unwelcome) return why;
  return std::move(why)
      .context("before keymsd's welcome")
      .with_hint("keymsd's log says why; it turns away all users but one");
}

Result<void> KeymsdConnection::kept(Result<void> result) {
  if (result.ok() || socket_->fd() >= 0) return result;
  return ended(std::move(result).error());
}

Result<void> KeymsdConnection::connect() {
  CS_TRY(const UnixAddress address, unix_address(options_.path));
  CS_TRY(UniqueFd fd, unix_socket(SOCK_SEQPACKET));
  if (::connect(fd.get(), address.get(), UnixAddress::size) != 0) {
    return from_errno(errno, "connecting to keymsd at " + options_.path)
        .with_hint("see whether keymsd runs, and whether this user may write to the socket");
  }
  CS_TRY(const PeerProcess peer, peer_of(fd, data_plane.name));
  if (peer.uid != options_.keymsd_uid) {
    return Error(ErrorKind::denied, "process " + std::to_string(peer.pid) + " of user " +
                                        std::to_string(peer.uid) + " listens at " + options_.path +
                                        ", not keymsd's user " +
                                        std::to_string(options_.keymsd_uid));
  }
  CS_TRY(DatagramSocket socket, DatagramSocket::create(std::move(fd), data_plane));
  CS_CHECK(socket.send([this](ByteSpan out) { return encode(options_.hello, out); }));
  socket_ = std::move(socket);
  return {};
}

Result<void> KeymsdConnection::tick() {
  if (socket_ || clock_->boot() < next_try_) return {};
  Result<void> connected = connect();
  if (connected.ok()) return {};
  return ended(std::move(connected).error());
}

Result<std::optional<FromKeymsd>> KeymsdConnection::check_order(FromKeymsd message) {
  const Welcome* welcome = std::get_if<Welcome>(&message);
  if ((welcome == nullptr) != agreed_) {
    return ended({ErrorKind::invalid,
                  agreed_ ? "keymsd welcomes a second time" : "keymsd sends before it welcomes"});
  }
  if (welcome != nullptr && welcome->version != signer_protocol_version)
    return ended(version_mismatch("keymsd", welcome->version));
  if (welcome != nullptr) delay_ = first_delay;
  agreed_ = true;
  const bool ends_state = std::holds_alternative<EndOfState>(message);
  if (ends_state && state_ended_)
    return ended({ErrorKind::invalid, "keymsd ends its state a second time"});
  state_ended_ = state_ended_ || ends_state;
  return std::optional<FromKeymsd>(std::move(message));
}

Result<std::optional<FromKeymsd>> KeymsdConnection::receive() {
  if (!socket_) return std::nullopt;
  Result<std::optional<FromKeymsd>> message = socket_->receive(decode_from_keymsd);
  if (!message.ok()) return ended(std::move(message).error());
  if (!message->has_value()) return std::nullopt;
  return check_order(std::move(**message));
}

}  // namespace cs::keyms
