// SPDX-License-Identifier: GPL-3.0-or-later
// For tests: agreements, and kernels that keep to them.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/unwrap.h"
#include "xfrm/agreement/expected.h"

namespace cs::test {

inline xfrm::Address address(std::string_view text) {
  return get(net::Address::parse(text));
}
inline xfrm::Traffic network(std::string_view text) {
  return {.network = get(net::Prefix::parse(text)), .protocol = 0, .ports = {}};
}

// 10.1.0.0/16 behind 192.0.2.1 (left), 10.2.0.0/16 behind 192.0.2.2.
inline xfrm::Agreement sample_agreement() {
  xfrm::Tunnel tunnel;
  tunnel.name = "office";
  tunnel.ends[0] = {address("192.0.2.1"), {network("10.1.0.0/16")}};
  tunnel.ends[1] = {address("192.0.2.2"), {network("10.2.0.0/16")}};
  tunnel.proposals = {get(xfrm::parse_proposal("aes256gcm16"))};
  xfrm::Agreement agreement;
  agreement.tunnels = {tunnel};
  return agreement;
}

// A kernel that does just what is expected, with numbers of its own where they do not matter.
inline xfrm::State state_of(const xfrm::Expected& expected) {
  xfrm::State state;
  std::uint32_t number = 0;
  const auto some = [](xfrm::Address& any, std::string_view known) {
    if (xfrm::is_any(any)) any = address(any.ipv6 ? "2001:db8::77" : known);
  };
  for (const xfrm::ExpectedPolicy& one : expected.policies) {
    state.policies.push_back(one.policy);
    state.policies.back().index = 8 * ++number;
    for (xfrm::Template& used : state.policies.back().templates) {
      used.reqid = 1;
      some(used.source, "198.51.100.7");
      some(used.destination, "198.51.100.7");
    }
  }
  for (const xfrm::ExpectedSa& one : expected.sas) {
    state.sas.push_back(one.sa);
    xfrm::Sa& sa = state.sas.back();
    sa.id.spi = 0xc0000000 + ++number;
    sa.reqid = 1;
    some(sa.source, "198.51.100.7");
    some(sa.id.destination, "198.51.100.7");
  }
  state.defaults = expected.agreement.defaults;
  state.interfaces = {{"all", false, false, false}, {"lo", true, true, false}};
  return state;
}

// Some agreement that validates and can be kept; the same for the same state of `random`.
inline xfrm::Agreement random_agreement(std::mt19937& random) {
  const auto below = [&](unsigned n) { return static_cast<unsigned>(random()) % n; };
  const auto chance = [&] { return below(2) == 0; };
  xfrm::Agreement agreement;
  const unsigned tunnels = 1 + below(4);
  for (unsigned i = 0; i < tunnels; ++i) {
    xfrm::Tunnel t;
    t.name = "t" + std::to_string(i);
    const bool ipv6 = chance();
    const std::string n = std::to_string(i);
    t.ends[0].address = address(ipv6 ? "2001:db8:" + n + "::1" : "192.0." + n + ".1");
    t.ends[1].address = address(ipv6 ? "2001:db8:" + n + "::2" : "192.0." + n + ".2");
    t.mode = chance() ? xfrm::Mode::tunnel : xfrm::Mode::transport;
    if (t.mode == xfrm::Mode::tunnel) {
      if (below(4) == 0) t.ends.at(below(2)).address.reset();
      for (unsigned end = 0; end < 2; ++end) {
        const unsigned networks = 1 + below(3);
        for (unsigned k = 0; k < networks; ++k) {
          t.ends.at(end).traffic.push_back(
              network("10." + std::to_string(2 * i + end) + "." + std::to_string(k) + ".0/24"));
        }
      }
      if (chance()) t.ends[1].traffic[0].protocol = 17;
      if (below(4) == 0) t.interface_id = 1 + i;
    }
    t.protocol = chance() ? 50 : 51;
    const char* words = t.protocol == 51 ? "sha256" : (chance() ? "aes256gcm16" : "aes128-sha256");
    t.proposals = {get(xfrm::parse_proposal(words))};
    t.extended_sequence_numbers = static_cast<xfrm::Use>(below(3));
    t.udp_encapsulation = static_cast<xfrm::Use>(below(t.protocol == 51 ? 2 : 3));
    t.least_replay_window = 1 + below(4096);
    t.most_seconds = below(2) * 3600;
    t.forwards = chance();
    agreement.tunnels.push_back(t);
  }
  if (chance()) {
    agreement.bypasses = {{"lan", static_cast<xfrm::End>(below(2)), network("10.0.0.0/25"),
                           network("10.0.0.128/25")}};
  }
  if (chance()) agreement.defaults.forward = xfrm::Action::block;
  return agreement;
}

}  // namespace cs::test
