// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/route/route_message.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

namespace cs::rt {
namespace {

using netlink::append_attribute;
using netlink::Attribute;
using netlink::Attributes;
using netlink::first_of;
using netlink::number_of;
using netlink::Request;

// The other flags are the kernel's findings about the moment, which it does not take back.
constexpr std::uint32_t lasting_flags = RTNH_F_ONLINK | RTNH_F_PERVASIVE;

Error broken(const std::string& what) {
  return {ErrorKind::invalid, "reading a route: " + what};
}

// Attributes that say how packets leave. With a nexthop object (RTA_NH_ID) they are a copy of what
// that has, and the kernel refuses both at once.
bool is_nexthop(std::uint16_t type) {
  constexpr std::array kinds{RTA_OIF,       RTA_GATEWAY, RTA_VIA,
                             RTA_MULTIPATH, RTA_ENCAP,   RTA_ENCAP_TYPE};
  return std::find(kinds.begin(), kinds.end(), type) != kinds.end();
}

// What the kernel sends and takes back as it is.
bool is_repeated(std::uint16_t type) {
  constexpr std::array kinds{RTA_PREFSRC, RTA_FLOW, RTA_PREF, RTA_TTL_PROPAGATE, RTA_NH_ID};
  return is_nexthop(type) || std::find(kinds.begin(), kinds.end(), type) != kinds.end();
}

// What an answer to a question about one address has besides: about the question, not the route.
bool is_of_the_question(std::uint16_t type) {
  constexpr std::array kinds{RTA_IIF,   RTA_MARK,  RTA_UID, RTA_IP_PROTO,
                             RTA_SPORT, RTA_DPORT, RTA_PAD};
  return std::find(kinds.begin(), kinds.end(), type) != kinds.end();
}

// Each nexthop in it, with its lasting flags only.
Result<std::vector<std::uint8_t>> lasting_multipath(ByteView value) {
  std::vector<std::uint8_t> kept(value.begin(), value.end());
  std::size_t at = 0;
  while (at < kept.size()) {
    const auto hop = first_of<rtnexthop>(ByteView(kept).subspan(at));
    if (!hop || hop->rtnh_len < sizeof(rtnexthop) || hop->rtnh_len > kept.size() - at) {
      return broken("a nexthop is not wholly there");
    }
    Attributes inside(ByteView(kept).subspan(at, hop->rtnh_len).subspan(sizeof(rtnexthop)));
    while (inside.next()) {
    }
    if (inside.is_malformed()) return broken("a nexthop's attributes");
    kept[at + offsetof(rtnexthop, rtnh_flags)] &= static_cast<std::uint8_t>(lasting_flags);
    at = std::min(kept.size(), at + ((hop->rtnh_len + std::size_t{3}) & ~std::size_t{3}));
  }
  return kept;
}

Result<void> read_metrics(ByteView value, Route& route) {
  Attributes metrics(value);
  while (const auto metric = metrics.next()) {
    if (metric->type != RTAX_MTU) {
      append_attribute(route.metrics, metric->raw_type, metric->value);
      continue;
    }
    const auto mtu = number_of<std::uint32_t>(*metric);
    if (!mtu) return broken("an MTU that is no number");
    route.mtu = *mtu;
  }
  return metrics.is_malformed() ? Result<void>(broken("its metrics")) : Result<void>();
}

Result<void> read_destination(const Attribute& attribute, Route& route) {
  Address address;
  address.ipv6 = route.key.destination.address.ipv6;
  if (attribute.value.size() != address.view().size()) return broken("its destination");
  std::copy(attribute.value.begin(), attribute.value.end(), address.bytes.begin());
  CS_TRY(route.key.destination, Prefix::make(address, route.key.destination.length));
  return {};
}

Result<void> read_number(const Attribute& attribute, std::uint32_t& out) {
  const auto number = number_of<std::uint32_t>(attribute);
  if (!number) return broken("attribute " + std::to_string(attribute.type) + " is no number");
  out = *number;
  return {};
}

Result<void> repeat(const Attribute& attribute, Route& route) {
  if (attribute.type == RTA_OIF) CS_CHECK(read_number(attribute, route.interface));
  if (attribute.type != RTA_MULTIPATH) {
    append_attribute(route.attributes, attribute.raw_type, attribute.value);
    return {};
  }
  CS_TRY(const auto hops, lasting_multipath(attribute.value));
  append_attribute(route.attributes, attribute.raw_type, hops);
  return {};
}

Result<void> read_attribute(const Attribute& attribute, Route& route) {
  switch (attribute.type) {
    case RTA_DST:
      return read_destination(attribute, route);
    case RTA_TABLE:
      return read_number(attribute, route.key.table);
    case RTA_PRIORITY:
      return read_number(attribute, route.key.priority);
    case RTA_METRICS:
      return read_metrics(attribute.value, route);
    case RTA_CACHEINFO: {
      const auto info = first_of<rta_cacheinfo>(attribute.value);
      if (!info) return broken("its cache information");
      route.expires = info->rta_expires != 0;
      return {};
    }
    default:
      break;
  }
  if (is_repeated(attribute.type)) return repeat(attribute, route);
  if (!is_of_the_question(attribute.type)) {
    route.obstacle =
        "it has something we do not know (attribute " + std::to_string(attribute.type) + ")";
  }
  return {};
}

// Leaves the copy of a nexthop object out.
void keep_object_only(Route& route) {
  bool has_object = false;
  Attributes search(route.attributes);
  while (const auto attribute = search.next()) has_object |= attribute->type == RTA_NH_ID;
  if (!has_object) return;
  std::vector<std::uint8_t> kept;
  Attributes all(route.attributes);
  while (const auto attribute = all.next()) {
    if (!is_nexthop(attribute->type)) append_attribute(kept, attribute->raw_type, attribute->value);
  }
  route.attributes = std::move(kept);
  route.flags &= ~lasting_flags;
}

void find_obstacle(const rtmsg& fixed, Route& route) {
  if (fixed.rtm_src_len != 0) route.obstacle = "it is for one source only";
  if (route.expires) route.obstacle = "it expires by itself";
  if (fixed.rtm_protocol == RTPROT_RA) route.obstacle = "a router announces it";
  if ((fixed.rtm_flags & RTM_F_CLONED) != 0) route.obstacle = "it is an exception, not a route";
  if (fixed.rtm_type != RTN_UNICAST) route.obstacle = "it leads nowhere";
}

}  // namespace

std::string RouteKey::text() const {
  return destination.text() + " in table " + std::to_string(table) +
         (priority == 0 ? "" : " metric " + std::to_string(priority)) +
         (tos == 0 ? "" : " tos " + std::to_string(tos));
}

Result<Route> parse_route(ByteView payload) {
  const auto fixed = first_of<rtmsg>(payload);
  if (!fixed) return broken("it is too short");
  if (fixed->rtm_family != AF_INET && fixed->rtm_family != AF_INET6) {
    return broken("family " + std::to_string(fixed->rtm_family));
  }
  Route route;
  route.key.destination.address.ipv6 = fixed->rtm_family == AF_INET6;
  route.key.destination.length = fixed->rtm_dst_len;
  route.key.table = fixed->rtm_table;
  route.key.tos = fixed->rtm_tos;
  route.flags = fixed->rtm_flags;
  route.protocol = fixed->rtm_protocol;
  route.scope = fixed->rtm_scope;
  route.type = fixed->rtm_type;
  bool has_destination = false;
  Attributes attributes(payload.subspan(sizeof(rtmsg)));
  while (const auto attribute = attributes.next()) {
    has_destination |= attribute->type == RTA_DST;
    CS_CHECK(read_attribute(*attribute, route));
  }
  if (attributes.is_malformed()) return broken("its attributes");
  if (!has_destination && fixed->rtm_dst_len != 0) return broken("it has no destination");
  keep_object_only(route);
  find_obstacle(*fixed, route);
  return route;
}

Request replace_request(const Route& route, std::uint32_t mtu) {
  Request request(RTM_NEWROUTE, NLM_F_REPLACE);
  const RouteKey& key = route.key;
  auto& fixed = request.fixed<rtmsg>();
  fixed.rtm_family = key.destination.address.ipv6 ? AF_INET6 : AF_INET;
  fixed.rtm_dst_len = key.destination.length;
  fixed.rtm_tos = key.tos;
  fixed.rtm_table = static_cast<std::uint8_t>(key.table < 256 ? key.table : RT_TABLE_COMPAT);
  fixed.rtm_protocol = route.protocol;
  fixed.rtm_scope = route.scope;
  fixed.rtm_type = route.type;
  fixed.rtm_flags = route.flags & lasting_flags;
  request.put_u32(RTA_TABLE, key.table);
  if (key.destination.length != 0) request.put(RTA_DST, key.destination.address.view());
  if (key.priority != 0) request.put_u32(RTA_PRIORITY, key.priority);
  request.append(route.attributes);
  std::vector<std::uint8_t> metrics = route.metrics;
  if (mtu != 0) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&mtu);
    append_attribute(metrics, RTAX_MTU, {bytes, sizeof(mtu)});
  }
  // Also if there are none: without, the kernel takes a nexthop object's route with the same key
  // for the same, whatever its metrics.
  request.put(RTA_METRICS | NLA_F_NESTED, metrics);
  return request;
}

}  // namespace cs::rt
