// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/sockets.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace cs::test {
namespace {

using Clock = std::chrono::steady_clock;

Result<UniqueFd> raw_socket(int domain, int protocol) {
  UniqueFd fd(socket(domain, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd) return from_errno(errno, "opening a raw socket").with_hint("run as root");
  return fd;
}

// IPPROTO_RAW means: the header is ours, in both families.
Result<UniqueFd> sending_socket(int domain, std::optional<std::uint32_t> mark) {
  CS_TRY(UniqueFd fd, raw_socket(domain, IPPROTO_RAW));
  if (mark && setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &*mark, sizeof(*mark)) != 0) {
    return from_errno(errno, "setting SO_MARK");
  }
  return fd;
}

// A burst must not be lost to a small buffer and look like silence.
Result<void> enlarge_buffer(const UniqueFd& fd) {
  const int size = 16 << 20;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
    return from_errno(errno, "enlarging a receive buffer");
  }
  return {};
}

// One datagram; nullopt if none came before `deadline`.
Result<std::optional<Bytes>> receive_one(int fd, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd readable{fd, POLLIN, 0};
    const int ready = poll(&readable, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready == 0) return std::optional<Bytes>();
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return from_errno(errno, "waiting for a packet");
    Bytes packet(0x10000);
    const ssize_t size = recv(fd, packet.data(), packet.size(), 0);
    if (size < 0) return from_errno(errno, "receiving a packet");
    packet.resize(static_cast<std::size_t>(size));
    return std::optional<Bytes>(std::move(packet));
  }
}

template <class Address>
Result<void> send_to(int fd, ByteView packet, const Address& address) {
  const ssize_t sent = sendto(fd, packet.data(), packet.size(), MSG_DONTWAIT,
                              reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (sent < 0) {
    return from_errno(errno, "sending a packet of " + std::to_string(packet.size()) + " bytes");
  }
  return {};
}

}  // namespace

Result<PacketSender> PacketSender::open(std::optional<std::uint32_t> mark) {
  CS_TRY(UniqueFd v4, sending_socket(AF_INET, mark));
  CS_TRY(UniqueFd v6, sending_socket(AF_INET6, mark));
  return PacketSender(std::move(v4), std::move(v6));
}

Result<void> PacketSender::send(ByteView packet) const {
  const auto ip = parse_ip(packet);
  if (!ip) return Error(ErrorKind::invalid, "sending what is no IP packet");
  if (ip->family == Family::v4) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    std::memcpy(&to.sin_addr, ip->target.data(), sizeof(to.sin_addr));
    return send_to(v4_.get(), packet, to);
  }
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  std::memcpy(&to.sin6_addr, ip->target.data(), sizeof(to.sin6_addr));
  return send_to(v6_.get(), packet, to);
}

Result<RawReceiver> RawReceiver::open(Family family, std::uint8_t protocol) {
  CS_TRY(UniqueFd fd, raw_socket(family == Family::v4 ? AF_INET : AF_INET6, protocol));
  CS_CHECK(enlarge_buffer(fd));
  return RawReceiver(std::move(fd));
}

Result<std::optional<Bytes>> RawReceiver::receive(std::chrono::milliseconds limit) const {
  return receive_one(fd_.get(), Clock::now() + limit);
}

Bytes RawReceiver::form_of(ByteView packet) {
  const auto ip = parse_ip(packet);
  const ByteView seen = ip && ip->family == Family::v6 ? ip->payload : packet;
  return {seen.begin(), seen.end()};
}

Result<Capture> Capture::open(const std::string& interface, std::vector<std::uint8_t> protocols) {
  UniqueFd fd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return from_errno(errno, "opening a packet socket").with_hint("run as root");
  CS_CHECK(enlarge_buffer(fd));
  // Else it would also tell what the interface sends.
  const int on = 1;
  setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ETH_P_ALL);
  at.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (at.sll_ifindex == 0) return from_errno(errno, "capturing on " + interface);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) {
    return from_errno(errno, "capturing on " + interface);
  }
  return Capture(std::move(fd), std::move(protocols));
}

bool Capture::is_wanted(ByteView packet) const {
  const auto ip = parse_ip(packet);
  return ip && std::find(protocols_.begin(), protocols_.end(), ip->protocol) != protocols_.end();
}

Result<std::optional<Capture::Packet>> Capture::receive(std::chrono::milliseconds limit) const {
  const auto deadline = Clock::now() + limit;
  for (;;) {
    CS_TRY(std::optional<Bytes> packet, receive_one(fd_.get(), deadline));
    if (!packet) return std::optional<Packet>();
    if (is_wanted(*packet)) return std::optional<Packet>({Clock::now(), std::move(*packet)});
  }
}

Result<std::vector<Capture::Packet>> Capture::collect(std::size_t count,
                                                      std::chrono::milliseconds limit) const {
  std::vector<Packet> all;
  while (all.size() < count) {
    CS_TRY(std::optional<Packet> packet, receive(limit));
    if (!packet) break;
    all.push_back(std::move(*packet));
  }
  return all;
}

}  // namespace cs::test
