// SPDX-License-Identifier: GPL-3.0-or-later
// For tests: core policies of one gateway with several peers.
#pragma once

#include <string>

#include "tests/unit/policy_samples.h"

namespace cs::test {

// "berlin-1" at 192.0.2.1 with a peer at 192.0.2.`number`, and 10.`number`.0.0/16 behind that.
inline keyms::CorePolicy policy_with(const std::string& peer, unsigned number) {
  keyms::CorePolicy policy = sample_policy();
  const std::string network_of_peer = "10." + std::to_string(number) + ".0.0/16";
  policy.name = "berlin-" + peer;
  policy.gateways[1].ne_id = peer;
  policy.gateways[1].addresses = {address("192.0.2." + std::to_string(number))};
  policy.agreement.tunnels[0].ends[1] = {policy.gateways[1].addresses[0],
                                         {network(network_of_peer)}};
  keyms::normalise(policy);
  get(keyms::validate(policy));
  return policy;
}

}  // namespace cs::test
