// SPDX-License-Identifier: GPL-3.0-or-later
// What nft and iptables-save could say: it is read or not, and nothing of it is the gate's that the
// gate cannot have made.
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "xfrm/gate/iptables_save.h"
#include "xfrm/gate/rules.h"

namespace {

void look_over(const cs::xfrm::GateView& view) {
  for (const cs::xfrm::GatePeerView& peer : view.peers) {
    for (const cs::xfrm::Passage& passage : peer.passages) {
      cs::fuzz::expect(passage.protocol == 50 || passage.protocol == 51, "another protocol");
    }
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  if (const auto view = cs::xfrm::nft_gate_view(text); view.ok()) look_over(*view);
  if (const auto view = cs::xfrm::iptables_gate_view(text)) look_over(*view);
  for (const std::string& chain : cs::xfrm::read_saved_gate(text).chains) {
    cs::fuzz::expect(chain.starts_with(cs::xfrm::gate_prefix), "a chain of others is taken away");
  }
  static_cast<void>(cs::xfrm::parse_gate_label(text));
  return 0;
}
