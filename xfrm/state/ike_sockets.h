// SPDX-License-Identifier: GPL-3.0-or-later
// Who holds the UDP sockets of IKE, which have policies of their own that let everything pass, and
// how many TCP sockets there are at ports whose sockets have them too.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cs::xfrm {

struct UdpSocket {
  std::uint16_t port = 0;
  std::uint64_t inode = 0;
  bool operator==(const UdpSocket&) const = default;
};
// Of the text of /proc/net/udp or udp6: those bound to one of the ports of IKE, 500 and 4500.
Result<std::vector<UdpSocket>> parse_udp_table(std::string_view text);

struct IkeSocket {
  std::uint16_t port = 0;
  bool ipv6 = false;
  std::string process;  // its name, which it chose itself; empty: nobody's whom we may look at
  std::uint32_t pid = 0;
  bool operator==(const IkeSocket&) const = default;
};

// In the calling thread's network namespace. Needs CAP_SYS_PTRACE to see other users' processes.
// `root`: where /proc is. An IKE daemon gives each of its sockets two policies, in and out.
Result<std::vector<IkeSocket>> find_ike_sockets(const std::string& root = "");

// Of the text of /proc/net/tcp or tcp6: how many sockets a local port has, without those that are
// none yet or none any more for the kernel's policies (half open, or in TIME_WAIT).
Result<std::map<std::uint16_t, std::size_t>> parse_tcp_table(std::string_view text);

// Of both families, at these ports together: a listener's, and those it made, whether they were
// accepted, are held by somebody or are only closing. In the calling thread's network namespace.
Result<std::size_t> count_tcp_sockets(const std::set<std::uint16_t>& ports,
                                      const std::string& root = "");

}  // namespace cs::xfrm
