// SPDX-License-Identifier: GPL-3.0-or-later
// Netlink messages as a route socket could deliver them: nothing outside a message is read, and a
// route that is read can be put back as it was.
#include <linux/rtnetlink.h>

#include <vector>

#include "tests/fuzz/fuzz.h"
#include "xfrm/netlink/message.h"
#include "xfrm/route/link.h"
#include "xfrm/route/route_message.h"

namespace {

using cs::fuzz::expect;

void read_back(const cs::rt::Route& route, std::uint32_t mtu) {
  cs::netlink::Request request = cs::rt::replace_request(route, mtu);
  if (!request.ok()) return;  // too long: refused when it is sent
  const auto* begin = reinterpret_cast<const std::uint8_t*>(request.header());
  cs::netlink::Messages messages(cs::ByteView(begin, request.header()->nlmsg_len));
  const auto message = messages.next();
  expect(message && message->header.nlmsg_type == RTM_NEWROUTE, "a request that is no message");
  const auto again = cs::rt::parse_route(message->payload);
  expect(again.ok(), "a replacement that is no route");
  expect(again->key == route.key, "another route is replaced");
  expect(again->mtu == mtu, "another MTU is set");
  expect(again->attributes == route.attributes && again->metrics == route.metrics,
         "something else changes");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> memory(data, data + size);
  cs::netlink::Messages messages(memory);
  while (const auto message = messages.next()) {
    expect(message->payload.data() + message->payload.size() <= memory.data() + memory.size(),
           "a message outside what was received");
    static_cast<void>(cs::netlink::parse_end(*message));
    static_cast<void>(cs::rt::parse_link_mtu(message->payload));
    const auto route = cs::rt::parse_route(message->payload);
    if (!route.ok() || !route->obstacle.empty()) continue;
    read_back(*route, 1310);
    read_back(*route, 0);
  }
  return 0;
}
