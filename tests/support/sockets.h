// SPDX-License-Identifier: GPL-3.0-or-later
// Raw and packet sockets for tests. Each belongs to the network namespace of the thread that
// opened it (Netns::run) and may be used from any other afterwards.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/support/packet.h"

namespace cs::test {

// Sends whole IP packets as they are, header included. The kernel still writes the IPv4 header
// checksum and length (which are right already) and replaces an IPv4 identification of 0 unless
// "don't fragment" is set; IPv6 stays untouched. A packet above the MTU is refused. It passes the
// output and postrouting hooks, not forward, and loses no hop.
class PacketSender {
 public:
  // `mark` is put on every packet, for rules to know them by.
  static Result<PacketSender> open(std::optional<std::uint32_t> mark = std::nullopt);
  Result<void> send(ByteView packet) const;

 private:
  PacketSender(UniqueFd v4, UniqueFd v6) : v4_(std::move(v4)), v6_(std::move(v6)) {}
  UniqueFd v4_, v6_;
};

// What a local receiver of a protocol gets, after the input hook. A raw socket hands out the whole
// packet on IPv4 and what follows the header on IPv6.
class RawReceiver {
 public:
  static Result<RawReceiver> open(Family family, std::uint8_t protocol = kProtocolEsp);
  // nullopt: none came in time.
  Result<std::optional<Bytes>> receive(std::chrono::milliseconds limit) const;
  // What receive() returns if `packet` arrives as it is.
  static Bytes form_of(ByteView packet);

 private:
  explicit RawReceiver(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// What an interface receives, before any hook: whole IP packets.
class Capture {
 public:
  struct Packet {
    std::chrono::steady_clock::time_point time;  // when it was read
    Bytes bytes;
  };

  // Only packets whose IP header names one of `protocols`.
  static Result<Capture> open(const std::string& interface, std::vector<std::uint8_t> protocols = {
                                                                kProtocolEsp, kProtocolFragment});
  Result<std::optional<Packet>> receive(std::chrono::milliseconds limit) const;
  // Up to `count` packets; fewer if no further one comes within `limit`.
  Result<std::vector<Packet>> collect(std::size_t count, std::chrono::milliseconds limit) const;

 private:
  Capture(UniqueFd fd, std::vector<std::uint8_t> protocols)
      : fd_(std::move(fd)), protocols_(std::move(protocols)) {}
  [[nodiscard]] bool is_wanted(ByteView packet) const;
  UniqueFd fd_;
  std::vector<std::uint8_t> protocols_;
};

}  // namespace cs::test
