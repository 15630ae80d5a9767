// SPDX-License-Identifier: GPL-3.0-or-later
// Sockets to the kernel: one that asks and waits for the answer, one that follows what happens.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "xfrm/netlink/message.h"

namespace cs::netlink {

using Take = std::function<Result<void>(const Message&)>;

namespace detail {

struct Close {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

// Receives into memory of its own and wipes it after use: SAs come with their keys.
class Receiver {
 public:
  Receiver(std::unique_ptr<mnl_socket, Close> socket, std::size_t size);
  Receiver(Receiver&&) = default;
  Receiver& operator=(Receiver&&) = default;
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;
  ~Receiver() { wipe(); }

  // The next datagram of the kernel, nobody else's; valid until the next receive() or wipe().
  Result<ByteView> receive(const std::string& tried, int flags);
  void wipe() noexcept;
  [[nodiscard]] int fd() const noexcept { return mnl_socket_get_fd(socket_.get()); }

 private:
  std::unique_ptr<mnl_socket, Close> socket_;
  std::vector<std::uint8_t> buffer_;
  std::size_t used_ = 0;
};

}  // namespace detail

// Belongs to the network namespace of the thread that opened it, whoever uses it later. For one
// thread.
class Socket {
 public:
  static Result<Socket> open(int protocol = NETLINK_ROUTE);

  // Sends the request and hands every message of the answer to `take`, up to its end. `tried` is
  // what an error says was tried. Fails with `busy` if the kernel's tables changed during a dump
  // (which XFRM does not tell). Nothing of the answer is left in memory.
  Result<void> ask(Request request, const std::string& tried, const Take& take);
  // For a request that is only acknowledged.
  Result<void> tell(Request request, const std::string& tried);

 private:
  explicit Socket(detail::Receiver receiver) : receiver_(std::move(receiver)) {}
  Result<void> converse(Request request, const std::string& tried, const Take& take);

  detail::Receiver receiver_;
  std::uint32_t sequence_ = 0;
};

// What the kernel tells of its own accord. Namespace and thread as with Socket.
class EventSocket {
 public:
  // `room`: bytes the kernel keeps for us until we read them, if it lets us have that many.
  static Result<EventSocket> open(int protocol, std::span<const std::uint32_t> groups,
                                  std::size_t room);

  // For poll(): readable means that next() has something.
  [[nodiscard]] int fd() const noexcept { return receiver_.fd(); }

  // Hands all messages of the next datagram to `take`; false: there is none now. Never waits. Fails
  // with ENOBUFS as os_error() if events were lost, once for each time: what they said has to be
  // read anew, and the socket goes on.
  Result<bool> next(const Take& take);

 private:
  explicit EventSocket(detail::Receiver receiver) : receiver_(std::move(receiver)) {}

  detail::Receiver receiver_;
};

}  // namespace cs::netlink
