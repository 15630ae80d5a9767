// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/netlink/socket.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cs::netlink {
namespace {

// The kernel fills at most 32 KiB per message of a dump; a link with many virtual functions is the
// largest single answer.
constexpr std::size_t receive_size = std::size_t{128} * 1024;
// The kernel answers inside send(); this is for a kernel that does not.
constexpr timeval patience{2, 0};
// More than any table dump has; ends a conversation that does not.
constexpr std::size_t max_receives = 100'000;

// True: that was the end of the answer.
Result<bool> handle(const Message& message, const std::string& tried, const Take& take,
                    bool& interrupted) {
  if ((message.header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
  if (message.header.nlmsg_type == NLMSG_DONE || message.header.nlmsg_type == NLMSG_ERROR) {
    const auto end = parse_end(message);
    if (!end) return Error(ErrorKind::invalid, tried + ": the end of the answer is none");
    if (end->error == 0) return true;
    return from_errno(end->error, end->words.empty() ? tried : tried + " (" + end->words + ")");
  }
  if (message.header.nlmsg_type < NLMSG_MIN_TYPE) return false;  // NLMSG_NOOP
  CS_CHECK(take(message));
  return false;
}

using Owner = std::unique_ptr<mnl_socket, detail::Close>;

Result<Owner> open_bound(int protocol) {
  Owner socket(mnl_socket_open2(protocol, SOCK_CLOEXEC));
  if (!socket) return from_errno(errno, "opening a netlink socket");
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
    return from_errno(errno, "binding a netlink socket");
  }
  return socket;
}

}  // namespace

namespace detail {

Receiver::Receiver(Owner socket, std::size_t size) : socket_(std::move(socket)), buffer_(size) {}

void Receiver::wipe() noexcept {
  // Moved from, it has no memory any more.
  if (used_ != 0 && !buffer_.empty()) explicit_bzero(buffer_.data(), used_);
  used_ = 0;
}

Result<ByteView> Receiver::receive(const std::string& tried, int flags) {
  for (;;) {
    wipe();
    sockaddr_nl from{};
    iovec place{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof(from);
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    const ssize_t size = recvmsg(fd(), &message, flags);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN && (flags & MSG_DONTWAIT) == 0) {
      return from_errno(ETIMEDOUT, tried);
    }
    if (size < 0) return from_errno(errno, tried);
    used_ = static_cast<std::size_t>(size);
    if (from.nl_pid != 0) continue;  // another process, not the kernel
    if ((static_cast<unsigned>(message.msg_flags) & MSG_TRUNC) != 0) {
      return Error(ErrorKind::limit, tried + ": the kernel's message is too long");
    }
    return ByteView(buffer_).first(used_);
  }
}

}  // namespace detail

Result<Socket> Socket::open(int protocol) {
  CS_TRY(Owner socket, open_bound(protocol));
  // Errors in words, and without the request in front of them. A kernel without says less.
  int on = 1;
  mnl_socket_setsockopt(socket.get(), NETLINK_EXT_ACK, &on, sizeof(on));
  mnl_socket_setsockopt(socket.get(), NETLINK_CAP_ACK, &on, sizeof(on));
  // A dump of one table is of that table. Without, of all.
  mnl_socket_setsockopt(socket.get(), NETLINK_GET_STRICT_CHK, &on, sizeof(on));
  const int fd = mnl_socket_get_fd(socket.get());
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0) {
    return from_errno(errno, "limiting the waiting of a netlink socket");
  }
  return Socket(detail::Receiver(std::move(socket), receive_size));
}

Result<void> Socket::ask(Request request, const std::string& tried, const Take& take) {
  auto done = converse(std::move(request), tried, take);
  receiver_.wipe();
  return done;
}

Result<void> Socket::converse(Request request, const std::string& tried, const Take& take) {
  if (!request.ok()) return Error(ErrorKind::limit, tried + ": the request is too long");
  nlmsghdr* header = request.header();
  header->nlmsg_seq = ++sequence_;
  if (!request.is_dump())
    header->nlmsg_flags = static_cast<std::uint16_t>(header->nlmsg_flags | NLM_F_ACK);
  if (::send(receiver_.fd(), header, header->nlmsg_len, 0) < 0) return from_errno(errno, tried);
  bool interrupted = false;
  for (std::size_t turn = 0; turn < max_receives; ++turn) {
    CS_TRY(const ByteView received, receiver_.receive(tried, 0));
    Messages messages(received);
    while (const auto message = messages.next()) {
      // What is left of an answer we no longer waited for.
      if (message->header.nlmsg_seq != sequence_) continue;
      CS_TRY(const bool end, handle(*message, tried, take, interrupted));
      if (!end) continue;
      if (!interrupted) return {};
      return Error(ErrorKind::busy, tried + ": the tables changed meanwhile")
          .with_retry(Retry::at_once);
    }
    if (messages.is_malformed()) return Error(ErrorKind::truncated, tried + ": a broken answer");
  }
  return Error(ErrorKind::limit, tried + ": the kernel's answer has no end");
}

Result<void> Socket::tell(Request request, const std::string& tried) {
  return ask(std::move(request), tried, [](const Message&) { return Result<void>(); });
}

Result<EventSocket> EventSocket::open(int protocol, std::span<const std::uint32_t> groups,
                                      std::size_t room) {
  CS_TRY(Owner socket, open_bound(protocol));
  for (const std::uint32_t group : groups) {
    auto number = static_cast<int>(group);
    if (mnl_socket_setsockopt(socket.get(), NETLINK_ADD_MEMBERSHIP, &number, sizeof(number)) != 0) {
      return from_errno(errno, "following netlink group " + std::to_string(group))
          .with_hint("run as root, or with CAP_NET_ADMIN");
    }
  }
  // With CAP_NET_ADMIN beyond what the system allows anybody; without, as much as that.
  const int fd = mnl_socket_get_fd(socket.get());
  const auto bytes = static_cast<int>(std::min(room, std::size_t{1} << 30U));
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0 &&
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) != 0) {
    return from_errno(errno, "giving a netlink socket room for events");
  }
  return EventSocket(detail::Receiver(std::move(socket), receive_size));
}

Result<bool> EventSocket::next(const Take& take) {
  const std::string tried = "reading what the kernel tells";
  auto received = receiver_.receive(tried, MSG_DONTWAIT);
  if (!received.ok() && received.error().os_error() == EAGAIN) return false;
  if (!received.ok()) return std::move(received).error();
  Messages messages(*received);
  while (const auto message = messages.next()) CS_CHECK(take(*message));
  receiver_.wipe();
  if (messages.is_malformed()) return Error(ErrorKind::truncated, tried + ": a broken message");
  return true;
}

}  // namespace cs::netlink
