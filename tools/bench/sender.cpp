// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/sender.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cs::bench {

namespace {

// What waits in a queue still counts as unsent data of the socket.
constexpr int send_buffer = 1 << 30;

socklen_t put_address(bool ipv6, ByteView packet, sockaddr_storage& out) noexcept {
  if (ipv6) {
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    std::memcpy(&to.sin6_addr, &packet[24], sizeof(to.sin6_addr));
    std::memcpy(&out, &to, sizeof(to));
    return sizeof(to);
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  std::memcpy(&to.sin_addr, &packet[16], sizeof(to.sin_addr));
  std::memcpy(&out, &to, sizeof(to));
  return sizeof(to);
}

}  // namespace

Result<Sender> Sender::open(const Netns& netns, const Options& options) {
  return netns.run([&]() -> Result<Sender> {
    const int family = options.ipv6 ? AF_INET6 : AF_INET;
    UniqueFd socket(::socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    if (!socket) return from_errno(errno, "opening a raw socket").with_hint("run as root");
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof(send_buffer)) !=
        0)
      return from_errno(errno, "enlarging a send buffer");
    return Sender(std::move(socket), options);
  });
}

Result<void> Sender::send(const PacketSet& packets, std::size_t first, std::size_t count) {
  while (count > 0) {
    const std::size_t now = std::min(count, at_once);
    for (std::size_t i = 0; i < now; ++i) {
      const ByteView packet = packets.at(first + i);
      // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): the kernel only reads what it sends
      vectors_[i] = {const_cast<std::uint8_t*>(packet.data()), packet.size()};
      msghdr& header = headers_[i].msg_hdr;
      header.msg_namelen = put_address(options_->ipv6, packet, addresses_[i]);
      header.msg_name = &addresses_[i];
      header.msg_iov = &vectors_[i];
      header.msg_iovlen = 1;
    }
    const int sent = ::sendmmsg(socket_.get(), headers_.data(), static_cast<unsigned>(now), 0);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return from_errno(errno, "sending packets");
    first += static_cast<std::size_t>(sent);
    count -= static_cast<std::size_t>(sent);
  }
  return {};
}

}  // namespace cs::bench
