// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "xfrm/install/bypass.h"

namespace cs::keyms::carrier {

namespace {

struct SocketAddress {
  sockaddr_storage of{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const noexcept {
    return reinterpret_cast<const sockaddr*>(&of);
  }
};

SocketAddress address_of(const Endpoint& endpoint) {
  SocketAddress address;
  const ByteView bytes = endpoint.address.view();
  if (endpoint.address.ipv6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address.of);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    std::ranges::copy(bytes, std::begin(v6.sin6_addr.s6_addr));
    address.size = sizeof(v6);
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.of);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, bytes.data(), bytes.size());
    address.size = sizeof(v4);
  }
  return address;
}

Result<void> set(const UniqueFd& fd, int level, int option, int value) {
  if (::setsockopt(fd.get(), level, option, &value, sizeof(value)) == 0) return {};
  return from_errno(errno, "setting up a TCP socket for other gateways");
}

// What a listener has, its connections inherit.
Result<UniqueFd> tcp_socket(const Endpoint& endpoint, BesideIpsec beside) {
  constexpr int gives_up_after_ms = 30'000;  // of silence, and of what is not acknowledged
  constexpr int asks_after_s = 10;
  const int family = endpoint.address.ipv6 ? AF_INET6 : AF_INET;
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return from_errno(errno, "making a TCP socket");
  if (endpoint.address.ipv6) CS_CHECK(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
  CS_CHECK(set(fd, IPPROTO_TCP, TCP_NODELAY, 1));
  CS_CHECK(set(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
  CS_CHECK(set(fd, IPPROTO_TCP, TCP_KEEPIDLE, asks_after_s));
  CS_CHECK(set(fd, IPPROTO_TCP, TCP_KEEPINTVL, asks_after_s));
  CS_CHECK(set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, gives_up_after_ms));
  if (beside == BesideIpsec::yes) CS_CHECK(xfrm::bypass_xfrm(fd.get()));
  return fd;
}

std::string text(const Endpoint& endpoint) {
  return endpoint.address.text() + " port " + std::to_string(endpoint.port);
}

}  // namespace

Result<UniqueFd> listen_for_peers(const Endpoint& endpoint, BesideIpsec beside) {
  constexpr int backlog = 4096;
  CS_TRY(UniqueFd fd, tcp_socket(endpoint, beside));
  CS_CHECK(set(fd, SOL_SOCKET, SO_REUSEADDR, 1));
  // Its address may come later, as at boot.
  CS_CHECK(endpoint.address.ipv6 ? set(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1)
                                 : set(fd, IPPROTO_IP, IP_FREEBIND, 1));
  const SocketAddress address = address_of(endpoint);
  if (::bind(fd.get(), address.get(), address.size) != 0 || ::listen(fd.get(), backlog) != 0)
    return from_errno(errno, "listening for other gateways at " + text(endpoint));
  return fd;
}

Result<UniqueFd> call_peer(const Endpoint& endpoint, BesideIpsec beside) {
  CS_TRY(UniqueFd fd, tcp_socket(endpoint, beside));
  const SocketAddress address = address_of(endpoint);
  if (::connect(fd.get(), address.get(), address.size) != 0 && errno != EINPROGRESS)
    return from_errno(errno, "connecting to " + text(endpoint));
  return fd;
}

}  // namespace cs::keyms::carrier
