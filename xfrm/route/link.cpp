// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/route/link.h"

#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <string>

namespace cs::rt {
namespace {

using netlink::Attributes;
using netlink::first_of;
using netlink::Message;
using netlink::number_of;
using netlink::Request;

std::uint32_t ipv6_mtu(ByteView per_family) {
  Attributes families(per_family);
  while (const auto family = families.next()) {
    if (family->type != AF_INET6) continue;
    Attributes parts(family->value);
    while (const auto part = parts.next()) {
      if (part->type != IFLA_INET6_CONF || part->value.size() % sizeof(std::uint32_t) != 0)
        continue;
      const std::size_t at = DEVCONF_MTU6 * sizeof(std::uint32_t);
      if (at >= part->value.size()) continue;
      return first_of<std::uint32_t>(part->value.subspan(at)).value_or(0);
    }
  }
  return 0;
}

}  // namespace

Result<LinkMtu> parse_link_mtu(ByteView payload) {
  const auto invalid = [] {
    return Error(ErrorKind::invalid, "reading a link: broken attributes");
  };
  if (payload.size() < sizeof(ifinfomsg)) return invalid();
  LinkMtu mtu;
  Attributes attributes(payload.subspan(sizeof(ifinfomsg)));
  while (const auto attribute = attributes.next()) {
    if (attribute->type == IFLA_MTU) mtu.ipv4 = number_of<std::uint32_t>(*attribute).value_or(0);
    if (attribute->type == IFLA_AF_SPEC) mtu.ipv6 = ipv6_mtu(attribute->value);
  }
  if (attributes.is_malformed() || mtu.ipv4 == 0) return invalid();
  mtu.ipv6 = mtu.ipv6 == 0 ? mtu.ipv4 : std::min(mtu.ipv4, mtu.ipv6);
  return mtu;
}

Result<LinkMtu> link_mtu(netlink::Socket& socket, std::uint32_t interface) {
  const std::string tried = "asking for the MTU of interface " + std::to_string(interface);
  Request request(RTM_GETLINK, 0);
  request.fixed<ifinfomsg>().ifi_index = static_cast<int>(interface);
  request.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::optional<LinkMtu> found;
  CS_CHECK(socket.ask(std::move(request), tried, [&](const Message& message) -> Result<void> {
    if (message.header.nlmsg_type != RTM_NEWLINK) return {};
    CS_TRY(found, parse_link_mtu(message.payload));
    return {};
  }));
  if (!found) return Error(ErrorKind::io, tried + ": no answer");
  return *found;
}

}  // namespace cs::rt
