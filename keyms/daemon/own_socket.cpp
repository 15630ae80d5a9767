// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/own_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "xfrm/state/ike_sockets.h"

namespace cs::keyms {

Result<std::uint16_t> local_port(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return from_errno(errno, "asking for a socket's port");
  if (bound.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &bound, sizeof(v6));
    return ntohs(v6.sin6_port);
  }
  if (bound.ss_family != AF_INET)
    return Error(ErrorKind::invalid, "asking for a port: it is no socket of IPv4 or IPv6");
  sockaddr_in v4{};
  std::memcpy(&v4, &bound, sizeof(v4));
  return ntohs(v4.sin_port);
}

Result<void> OwnSockets::add_listener(int fd) {
  CS_TRY(const std::uint16_t port, local_port(fd));
  listening_.insert(port);
  return {};
}

Result<void> OwnSockets::add_connection(int fd) {
  CS_TRY(const std::uint16_t port, local_port(fd));
  if (connecting_.size() == most_connections) connecting_.pop_front();
  connecting_.push_back(port);
  return {};
}

Result<std::size_t> OwnSockets::bypasses() const {
  std::set<std::uint16_t> ports = listening_;
  ports.insert(connecting_.begin(), connecting_.end());
  CS_TRY(const std::size_t sockets, xfrm::count_tcp_sockets(ports));
  return 2 * sockets;
}

}  // namespace cs::keyms
