// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's own TCP sockets, which are beside IPsec (carrier/sockets.h), counted, so that nobody
// else's bypass passes for ours.
#pragma once

#include <cstdint>
#include <deque>
#include <set>

#include "base/result.h"

namespace cs::keyms {

class OwnSockets {
 public:
  // A bound socket that listens. What it makes inherits its policies: the kernel copies them.
  Result<void> add_listener(int fd);
  // One that is connecting or connected. Remembered by its port, of so many.
  Result<void> add_connection(int fd);
  static constexpr std::size_t most_connections = 256;

  // How many policies of sockets may be ours: two a socket. The kernel is asked, because a socket
  // has them before anybody accepted it and after everybody closed it. In the calling thread's
  // network namespace.
  [[nodiscard]] Result<std::size_t> bypasses() const;

 private:
  std::set<std::uint16_t> listening_;
  std::deque<std::uint16_t> connecting_;  // the newest last
};

// The port a TCP socket is bound to.
[[nodiscard]] Result<std::uint16_t> local_port(int fd);

}  // namespace cs::keyms
