// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/datagram_socket.h"

#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

namespace cs::keyms {

namespace {

Error gone() {
  return Error(ErrorKind::closed, "the other side has closed the data plane's socket")
      .with_retry(Retry::anew);
}

}  // namespace

Result<DatagramSocket> DatagramSocket::create(UniqueFd fd) {
  static_assert(queue_length * max_message <= SecretBytes::max_size);
  CS_TRY(SecretBytes received, SecretBytes::create(max_message));
  CS_TRY(SecretBytes slots, SecretBytes::create(queue_length * max_message));
  return DatagramSocket(std::move(fd), std::move(received), std::move(slots));
}

short DatagramSocket::events() const noexcept {
  return static_cast<short>(queued_ > 0 ? POLLIN | POLLOUT : POLLIN);
}

void DatagramSocket::wipe(ByteSpan bytes) noexcept {
  explicit_bzero(bytes.data(), bytes.size());
}

Error DatagramSocket::close(Error why) noexcept {
  fd_.reset();
  received_.wipe();
  slots_.wipe();
  queued_ = 0;
  return why;
}

Result<void> DatagramSocket::check_room() {
  if (!fd_) return gone();
  if (room() > 0) return {};
  return close(Error(ErrorKind::limit, "the other side of the data plane's socket does not read: " +
                                           std::to_string(queue_length) +
                                           " messages wait; disconnected")
                   .with_retry(Retry::anew));
}

Result<void> DatagramSocket::commit(std::size_t size) {
  sizes_[(first_ + queued_) % queue_length] = static_cast<std::uint16_t>(size);
  ++queued_;
  return flush();
}

Result<void> DatagramSocket::flush() {
  if (!fd_) return gone();
  while (queued_ > 0) {
    const ByteSpan message = slot(first_).first(sizes_[first_]);
    if (::send(fd_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == ENOBUFS) return {};
      return close(from_errno(errno, "sending on the data plane's socket"));
    }
    wipe(message);
    first_ = (first_ + 1) % queue_length;
    --queued_;
    ++sent_;
  }
  return {};
}

Result<std::size_t> DatagramSocket::fill() {
  if (!fd_) return gone();
  const ByteSpan into = received_.bytes();
  ssize_t size = -1;
  do {
    // MSG_TRUNC: the whole length of a message that is longer than the buffer. File descriptors
    // that come with it are closed by the kernel, as there is no room for them.
    size = ::recv(fd_.get(), into.data(), into.size(), MSG_DONTWAIT | MSG_TRUNC);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) return std::size_t{0};
  if (size < 0) return close(from_errno(errno, "receiving on the data plane's socket"));
  // An empty datagram looks the same, and is nothing we would go on with.
  if (size == 0) return close(gone());
  if (static_cast<std::size_t>(size) <= into.size()) return static_cast<std::size_t>(size);
  return close(Error(ErrorKind::limit, "received a message of " + std::to_string(size) +
                                           " bytes on the data plane's socket: at most " +
                                           std::to_string(max_message)));
}

Result<PeerProcess> peer_of(const UniqueFd& fd) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return from_errno(errno, "asking who is at the other end of the data plane's socket");
  return PeerProcess{credentials.pid, credentials.uid};
}

}  // namespace cs::keyms
