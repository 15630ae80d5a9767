// SPDX-License-Identifier: GPL-3.0-or-later
// Whatever an XFRM socket could deliver: nothing outside a message is read, and what is read can be
// told in words.
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "xfrm/netlink/message.h"
#include "xfrm/state/message.h"
#include "xfrm/state/text.h"

namespace {

using cs::fuzz::expect;

void tell(const cs::xfrm::Event& event) {
  expect(!cs::xfrm::text(event.kind).empty(), "an event without a name");
  if (event.sa) {
    expect(!(cs::xfrm::name_of(*event.sa) + cs::xfrm::describe(*event.sa)).empty(), "no words");
    expect(event.sa->source.ipv6 == event.sa->id.destination.ipv6, "an SA of two families");
  }
  if (event.policy) {
    const cs::xfrm::Selector& selector = event.policy->selector;
    expect(!(cs::xfrm::name_of(*event.policy) + cs::xfrm::describe(*event.policy)).empty(),
           "no words");
    expect(
        cs::net::Prefix::make(selector.source.address, selector.source.length).ok() &&
            cs::net::Prefix::make(selector.destination.address, selector.destination.length).ok(),
        "a prefix with bits behind its length");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> memory(data, data + size);
  cs::netlink::Messages messages(memory);
  while (const auto message = messages.next()) {
    const auto event = cs::xfrm::parse_event(*message);
    if (event.ok()) tell(*event);
  }
  return 0;
}
