// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/datagram_socket.h"

#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace cs::keyms {

Result<DatagramMemory> DatagramMemory::create(std::size_t size, bool locked) {
  DatagramMemory memory;
  memory.size_ = size;
  if (locked) {
    CS_TRY(memory.locked_, SecretBytes::create(size));
  } else {
    // NOLINTNEXTLINE(*-avoid-c-arrays): no vector, which would touch all of it
    memory.plain_ = std::make_unique_for_overwrite<std::uint8_t[]>(size);
  }
  return memory;
}

Result<DatagramSocket> DatagramSocket::create(UniqueFd fd, const DatagramKind& kind) {
  CS_TRY(DatagramMemory received, DatagramMemory::create(kind.max_message, kind.locked));
  CS_TRY(DatagramMemory slots,
         DatagramMemory::create(queue_length * kind.max_message, kind.locked));
  return DatagramSocket(std::move(fd), kind, std::move(received), std::move(slots));
}

Error DatagramSocket::gone() const {
  return Error(ErrorKind::closed, "the other side has closed " + std::string(kind_->name))
      .with_retry(Retry::anew);
}

short DatagramSocket::events() const noexcept {
  return static_cast<short>(queued_ > 0 ? POLLIN | POLLOUT : POLLIN);
}

void DatagramSocket::wipe(ByteSpan bytes) noexcept {
  explicit_bzero(bytes.data(), bytes.size());
}

Error DatagramSocket::close(Error why) noexcept {
  fd_.reset();
  arrived_.reset();
  wipe(received_.bytes());
  for (; queued_ > 0; --queued_, first_ = (first_ + 1) % queue_length) {
    wipe(slot(first_).first(sizes_[first_]));
    descriptors_[first_].reset();
  }
  return why;
}

Result<void> DatagramSocket::check_room() {
  if (!fd_) return gone();
  if (room() > 0) return {};
  return close(Error(ErrorKind::limit, "the other side of " + std::string(kind_->name) +
                                           " does not read: " + std::to_string(queue_length) +
                                           " messages wait; disconnected")
                   .with_retry(Retry::anew));
}

Result<void> DatagramSocket::commit(std::size_t size, UniqueFd descriptor) {
  const std::size_t last = (first_ + queued_) % queue_length;
  sizes_[last] = static_cast<std::uint16_t>(size);
  descriptors_[last] = std::move(descriptor);
  ++queued_;
  return flush();
}

namespace {

// Room for one descriptor in a control message.
struct alignas(cmsghdr) ControlMemory {
  std::array<std::uint8_t, CMSG_SPACE(sizeof(int))> bytes{};
};

}  // namespace

ssize_t DatagramSocket::push(std::size_t index, ByteSpan message) const noexcept {
  iovec part{message.data(), message.size()};
  ControlMemory memory;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (const int descriptor = descriptors_[index].get(); descriptor >= 0) {
    header.msg_control = memory.bytes.data();
    header.msg_controllen = memory.bytes.size();
    cmsghdr* const control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(control), &descriptor, sizeof(int));
  }
  return ::sendmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t DatagramSocket::pull(ByteSpan into) noexcept {
  iovec part{into.data(), into.size()};
  ControlMemory memory;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  // Without room for them the kernel closes descriptors that come.
  if (kind_->descriptors_arrive) {
    header.msg_control = memory.bytes.data();
    header.msg_controllen = memory.bytes.size();
  }
  // MSG_TRUNC: the whole length of a message that is longer than the buffer.
  const ssize_t size = ::recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
  if (size < 0) return size;
  arrived_.reset();
  const cmsghdr* const control = CMSG_FIRSTHDR(&header);
  if (control != nullptr && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS &&
      control->cmsg_len == CMSG_LEN(sizeof(int))) {
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(control), sizeof(int));
    arrived_.reset(descriptor);
  }
  return size;
}

Result<void> DatagramSocket::flush() {
  if (!fd_) return gone();
  while (queued_ > 0) {
    const ByteSpan message = slot(first_).first(sizes_[first_]);
    if (push(first_, message) < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == ENOBUFS) return {};
      return close(from_errno(errno, "sending on " + std::string(kind_->name)));
    }
    wipe(message);
    descriptors_[first_].reset();
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
    size = pull(into);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) return std::size_t{0};
  if (size < 0) return close(from_errno(errno, "receiving on " + std::string(kind_->name)));
  // An empty datagram looks the same, and is nothing we would go on with.
  if (size == 0) return close(gone());
  if (static_cast<std::size_t>(size) <= into.size()) return static_cast<std::size_t>(size);
  return close(Error(ErrorKind::limit, "received a message of " + std::to_string(size) +
                                           " bytes on " + std::string(kind_->name) + ": at most " +
                                           std::to_string(kind_->max_message)));
}

Result<PeerProcess> peer_of(const UniqueFd& fd, std::string_view socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return from_errno(errno, "asking who is at the other end of " + std::string(socket));
  return PeerProcess{credentials.pid, credentials.uid};
}

namespace {

Result<void> check_peer(const UniqueFd& fd, std::string_view socket, const AllowedAt& allowed) {
  CS_TRY(const PeerProcess peer, peer_of(fd, socket));
  if (peer.uid == allowed.uid) return {};
  return Error(ErrorKind::denied, "process " + std::to_string(peer.pid) + " of user " +
                                      std::to_string(peer.uid) + " connected to " + allowed.path +
                                      " and was turned away: only user " +
                                      std::to_string(allowed.uid) + " may")
      .with_hint("if it is " + std::string(allowed.who) + ", run it as that user");
}

}  // namespace

Result<std::optional<UniqueFd>> accept_peer(const UniqueFd& listener, std::string_view socket,
                                            const AllowedAt& allowed) {
  UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return std::nullopt;
    return from_errno(errno, "accepting a connection at " + allowed.path);
  }
  CS_CHECK(check_peer(fd, socket, allowed));
  return std::optional(std::move(fd));
}

// Keeps the time since the reader last took something.
void Patience::written(const DatagramSocket& socket) noexcept {
  if (!agreed_) return;
  const bool waits = socket.room() < DatagramSocket::queue_length;
  if (!waits) {
    deadline_.reset();
  } else if (!deadline_ || socket.sent() != sent_before_) {
    deadline_ = clock_->boot() + reads_within;
  }
  sent_before_ = socket.sent();
}

std::optional<BootTime> Patience::deadline(const DatagramSocket& socket) const noexcept {
  if (socket.fd() < 0) return std::nullopt;
  return deadline_;
}

Result<void> Patience::tick(DatagramSocket& socket) const {
  const std::optional<BootTime> due = deadline(socket);
  if (!due || clock_->boot() < *due) return {};
  const std::string who(other_);
  return socket.close(
      Error(ErrorKind::timed_out,
            agreed_ ? who + " has read nothing for " + std::to_string(reads_within.count()) +
                          " seconds; disconnected"
                    : "no hello from " + who + " within " + std::to_string(hello_within.count()) +
                          " seconds; disconnected"));
}

}  // namespace cs::keyms
