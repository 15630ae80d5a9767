// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/service_channel.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/unix_socket.h"

namespace cs::keyms::carrier {

namespace {

constexpr std::string_view name = "the attestation service's socket";
// A channel's secret passes here once; OpenSSL's own copy is not locked either.
constexpr DatagramKind plain{name, max_service_message, false, false};
constexpr DatagramKind with_descriptors{name, max_service_message, false, true};

Error version_mismatch(std::string_view other, std::uint16_t version) {
  return Error(ErrorKind::unsupported,
               std::string(other) + " speaks version " + std::to_string(version) +
                   " of the attestation service's protocol, this program version " +
                   std::to_string(service_version))
      .with_hint("install a carrier and a keymsd that fit each other");
}

Error too_early() {
  return {ErrorKind::invalid,
          "sending on the attestation service's socket before a version is agreed on"};
}

Close answer_to(const Close& close) {
  return {close.channel, {"closed", "the other side has closed the channel"}};
}

}  // namespace

// The service's end.

ServiceConnection::ServiceConnection(const Clock& clock, DatagramSocket socket, Other other)
    : socket_(std::move(socket)), other_(other), patience_(clock, "the carrier") {}

Result<ServiceConnection> ServiceConnection::create(const Clock& clock, UniqueFd fd, Other other) {
  CS_TRY(DatagramSocket socket, DatagramSocket::create(std::move(fd), plain));
  return ServiceConnection(clock, std::move(socket), other);
}

Result<void> ServiceConnection::check_agreed() const {
  if (agreed_ || socket_.fd() < 0) return {};
  return too_early();
}

// Answers even a version that is not ours, so that the other side can say what is wrong.
Result<void> ServiceConnection::welcome(const Hello& hello) {
  if (agreed_) return Error(ErrorKind::invalid, "the carrier says hello a second time");
  CS_CHECK(socket_.send([](ByteSpan out) { return encode(Welcome{}, out); }));
  if (hello.version != service_version)
    return version_mismatch("the carrier " + hello.name, hello.version);
  agreed_ = true;
  patience_.agreed();
  return written({});
}

Result<bool> ServiceConnection::take_close(const Close& close) {
  CS_TRY(const bool is_news, channels_.close_there(close.channel));
  if (is_news) CS_CHECK(send(answer_to(close)));
  return is_news;
}

Result<bool> ServiceConnection::take(const FromCarrier& message) {
  if (const Hello* hello = std::get_if<Hello>(&message)) {
    CS_CHECK(welcome(*hello));
    return true;
  }
  if (!agreed_) return Error(ErrorKind::invalid, "the carrier sends before it says hello");
  if (const Connect* connect = std::get_if<Connect>(&message)) {
    CS_CHECK(channels_.open(connect->channel));
    return true;
  }
  if (const Data* data = std::get_if<Data>(&message)) return channels_.arrived(data->channel);
  if (const Close* close = std::get_if<Close>(&message)) return take_close(*close);
  return true;
}

Result<std::optional<FromCarrier>> ServiceConnection::receive() {
  const auto decode = other_ == Other::worker ? decode_from_worker : decode_from_carrier;
  while (true) {
    CS_TRY(std::optional<FromCarrier> message, socket_.receive(decode));
    if (!message) return message;
    const Result<bool> wanted = take(*message);
    if (!wanted.ok()) return socket_.close(wanted.error());
    if (*wanted) return message;
  }
}

Result<void> ServiceConnection::send(const Data& message) {
  CS_CHECK(channels_.check_open(message.channel));
  return post(message);
}

Result<void> ServiceConnection::send(const Grant& message) {
  CS_CHECK(channels_.check_open(message.channel));
  return post(message);
}

Result<void> ServiceConnection::send(const Deny& message) {
  CS_CHECK(channels_.check_open(message.channel));
  CS_CHECK(post(message));
  return channels_.close_here(message.channel);
}

Result<void> ServiceConnection::send(const Close& message) {
  CS_CHECK(channels_.close_here(message.channel));
  return post(message);
}

Result<void> ServiceConnection::send(const Listener& message, UniqueFd socket) {
  return post(message, std::move(socket));
}

Result<void> ServiceConnection::send(const Dial& message, UniqueFd socket) {
  return post(message, std::move(socket));
}

Result<void> ServiceConnection::written(Result<void> result) {
  patience_.written(socket_);
  return result;
}

Result<ServiceListener> ServiceListener::open(const Clock& clock, std::string path,
                                              uid_t allowed_uid) {
  constexpr int backlog = 4;
  CS_TRY(UniqueFd fd, listen_at(path, SOCK_SEQPACKET, backlog));
  return ServiceListener(clock, std::move(fd), std::move(path), allowed_uid);
}

Result<std::optional<ServiceConnection>> ServiceListener::accept() {
  CS_TRY(std::optional<UniqueFd> fd, accept_peer(fd_, name, {path_, allowed_uid_, "a carrier"}));
  if (!fd) return std::nullopt;
  CS_TRY(ServiceConnection connection,
         ServiceConnection::create(*clock_, std::move(*fd), Other::carrier));
  return std::optional<ServiceConnection>(std::move(connection));
}

// A carrier's end.

Result<CarrierConnection> CarrierConnection::create(UniqueFd fd, const Hello& hello, Other self) {
  CS_TRY(DatagramSocket socket,
         DatagramSocket::create(std::move(fd), self == Other::worker ? with_descriptors : plain));
  CS_CHECK(socket.send([&hello](ByteSpan out) { return encode(hello, out); }));
  return CarrierConnection(std::move(socket), self);
}

Result<void> CarrierConnection::check_agreed() const {
  if (agreed_ || socket_.fd() < 0) return {};
  return too_early();
}

Result<void> CarrierConnection::take_welcome(const FromService& message) {
  const Welcome* welcome = std::get_if<Welcome>(&message);
  if ((welcome == nullptr) != agreed_) {
    return Error(ErrorKind::invalid, agreed_ ? "the service welcomes a second time"
                                             : "the service sends before it welcomes");
  }
  if (welcome != nullptr && welcome->version != service_version)
    return version_mismatch("the attestation service", welcome->version);
  agreed_ = true;
  return {};
}

Result<bool> CarrierConnection::take_close(const Close& close) {
  CS_TRY(const bool is_news, channels_.close_there(close.channel));
  if (is_news) CS_CHECK(send(answer_to(close)));
  return is_news;
}

Result<bool> CarrierConnection::take(const FromService& message) {
  CS_CHECK(take_welcome(message));
  if (const Data* data = std::get_if<Data>(&message)) return channels_.arrived(data->channel);
  if (const Grant* grant = std::get_if<Grant>(&message)) return channels_.arrived(grant->channel);
  if (const Deny* deny = std::get_if<Deny>(&message)) return channels_.close_there(deny->channel);
  if (const Close* close = std::get_if<Close>(&message)) return take_close(*close);
  return true;
}

Result<std::optional<FromService>> CarrierConnection::receive() {
  const auto decode = self_ == Other::worker ? decode_to_worker : decode_from_service;
  while (true) {
    CS_TRY(std::optional<FromService> message, socket_.receive(decode));
    if (!message) return message;
    const Result<bool> wanted = take(*message);
    if (!wanted.ok()) return socket_.close(wanted.error());
    if (*wanted) return message;
  }
}

Result<void> CarrierConnection::send(const Connect& message) {
  CS_CHECK(check_agreed());
  CS_CHECK(channels_.open(message.channel));
  return post(message);
}

Result<void> CarrierConnection::send(const Data& message) {
  CS_CHECK(channels_.check_open(message.channel));
  return post(message);
}

Result<void> CarrierConnection::send(const Close& message) {
  CS_CHECK(channels_.close_here(message.channel));
  return post(message);
}

}  // namespace cs::keyms::carrier
