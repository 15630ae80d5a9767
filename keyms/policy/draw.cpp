// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/draw.h"

namespace cs::keyms {

CorePolicy draw(const DrawOptions& options, xfrm::Agreement agreement) {
  CorePolicy out;
  out.name = options.name;
  out.agreement = std::move(agreement);
  for (std::size_t i = 0; i < out.gateways.size(); ++i) {
    const DrawnGateway& known = i == 0 ? options.here : options.there;
    Gateway& gateway = out.gateways.at(i);
    gateway.ne_id = known.ne_id;
    gateway.attestation_key = known.attestation_key;
    gateway.keymsd = known.keymsd;
    bool everywhere = false;
    for (const xfrm::Tunnel& tunnel : out.agreement.tunnels) {
      const auto& address = tunnel.ends.at(i).address;
      if (address) gateway.addresses.push_back(*address);
      everywhere = everywhere || !address;
    }
    // One tunnel to anywhere, and no list of addresses would be whole.
    if (everywhere) gateway.addresses.clear();
  }
  normalise(out);
  return out;
}

}  // namespace cs::keyms
