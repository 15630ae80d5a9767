// SPDX-License-Identifier: GPL-3.0-or-later
// A VICI packet as an IKE daemon could send it: nothing outside is read, and sections balance.
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "xfrm/vici/message.h"
#include "xfrm/vici/sas.h"

namespace {

using cs::fuzz::expect;
using cs::vici::Element;

void read_elements(cs::ByteView message) {
  cs::vici::Elements elements(message);
  std::size_t open = 0;
  while (true) {
    const auto next = elements.next();
    if (!next.ok()) return;
    if (!*next) break;
    const Element& element = **next;
    if (element.type == Element::Type::section_start || element.type == Element::Type::list_start) {
      ++open;
    }
    if (element.type == Element::Type::section_end || element.type == Element::Type::list_end)
      --open;
    expect(open == elements.depth() && open <= cs::vici::max_depth, "a depth that is none");
    expect(element.name.size() + element.value.size() <= message.size(), "more than there is");
  }
  expect(open == 0, "a section without end is accepted");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> memory(data, data + size);
  const auto packet = cs::vici::parse_packet(memory);
  if (!packet.ok()) return 0;
  read_elements(packet->message);
  std::vector<cs::vici::ChildSa> children;
  const auto parsed = cs::vici::parse_list_sa(packet->message, children);
  for (const auto& child : children) expect(child.name.size() <= 255, "a name without a limit");
  static_cast<void>(parsed);
  const auto ike = cs::vici::parse_ike_sa(packet->message);
  if (ike.ok()) expect(ike->name.size() <= 255, "a name without a limit");
  return 0;
}
