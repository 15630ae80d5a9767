// SPDX-License-Identifier: GPL-3.0-or-later
// Sends whole IP packets, header included, as fast as the kernel takes them.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tools/bench/packets.h"

namespace cs::bench {

class Sender {
 public:
  static constexpr std::size_t at_once = 64;

  static Result<Sender> open(const Netns& netns, const Options& options);

  // Packets first to first + count - 1. Allocates nothing. Returns when they went their way to the
  // first queue, or to the other end.
  Result<void> send(const PacketSet& packets, std::size_t first, std::size_t count);

 private:
  Sender(UniqueFd socket, const Options& options)
      : socket_(std::move(socket)), options_(&options) {}

  UniqueFd socket_;
  const Options* options_;
  std::array<mmsghdr, at_once> headers_{};
  std::array<iovec, at_once> vectors_{};
  std::array<sockaddr_storage, at_once> addresses_{};
};

}  // namespace cs::bench
