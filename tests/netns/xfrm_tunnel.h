// SPDX-License-Identifier: GPL-3.0-or-later
// A tunnel's policies for tests, and what a namespace's kernel has.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/netns.h"
#include "tests/support/unwrap.h"
#include "xfrm/install/installer.h"
#include "xfrm/state/kernel.h"
#include "xfrm/state/text.h"

namespace cs::test {

// Of one gateway: its networks and addresses, and the peer's.
struct TunnelEnds {
  std::string own_net, peer_net;
  std::string own, peer;
  std::uint8_t protocol = IPPROTO_ESP;
  xfrm::Mode mode = xfrm::Mode::tunnel;
  std::uint32_t reqid = 7;
};

inline xfrm::Policy policy_of(const TunnelEnds& ends, xfrm::Direction direction) {
  const bool out = direction == xfrm::Direction::out;
  xfrm::Template wanted;
  wanted.protocol = ends.protocol;
  wanted.mode = ends.mode;
  wanted.reqid = ends.reqid;
  wanted.source = get(net::Address::parse(out ? ends.own : ends.peer));
  wanted.destination = get(net::Address::parse(out ? ends.peer : ends.own));
  xfrm::Policy policy;
  policy.direction = direction;
  policy.selector.source = get(net::Prefix::parse(out ? ends.own_net : ends.peer_net));
  policy.selector.destination = get(net::Prefix::parse(out ? ends.peer_net : ends.own_net));
  policy.priority = 1000;
  policy.templates = {wanted};
  return policy;
}

inline std::vector<xfrm::Policy> policies_of(const TunnelEnds& ends) {
  std::vector<xfrm::Policy> all{policy_of(ends, xfrm::Direction::out),
                                policy_of(ends, xfrm::Direction::in)};
  if (ends.mode == xfrm::Mode::tunnel) all.push_back(policy_of(ends, xfrm::Direction::forward));
  return all;
}

inline netlink::Socket xfrm_socket(const Netns& netns) {
  return get(netns.run([] { return xfrm::open_socket(); }));
}

// Everything a policy is, but for what the kernel counts; with its index.
inline std::string text_of(xfrm::Policy policy) {
  policy.usage = {};
  return name_of(policy) + "\n" + describe(policy);
}

// In an order of its own.
inline std::vector<std::string> policies_in(const Netns& netns) {
  netlink::Socket socket = xfrm_socket(netns);
  std::vector<std::string> all;
  get(xfrm::each_policy(socket, [&](const xfrm::Policy& policy) {
    if (!policy.is_of_socket()) all.push_back(text_of(policy));
    return Result<void>();
  }));
  std::ranges::sort(all);
  return all;
}

inline std::vector<xfrm::Sa> sas_in(const Netns& netns) {
  netlink::Socket socket = xfrm_socket(netns);
  std::vector<xfrm::Sa> all;
  get(xfrm::each_sa(socket, [&](xfrm::Sa sa) {
    all.push_back(std::move(sa));
    return Result<void>();
  }));
  return all;
}

}  // namespace cs::test
