// SPDX-License-Identifier: GPL-3.0-or-later
// Prints random states as `countersign xfrm show --json` tells them, one a line, each with a tunnel
// and the canonical form of what the kernel does with it.
#include <cstdio>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/hex.h"
#include "tests/unit/random_state.h"
#include "tools/xfrm/json.h"
#include "xfrm/canonical/canonical.h"

namespace {

using Json = nlohmann::ordered_json;
using cs::xfrm::End;

Json tunnel_json(const cs::xfrm::Tunnel& tunnel, End end) {
  Json json{{"mode", tunnel.mode == cs::xfrm::Mode::transport ? "transport" : "tunnel"}};
  for (const auto& [name, at] : {std::pair("here", end), std::pair("there", other(end))}) {
    const cs::xfrm::TunnelEnd& one = tunnel.ends.at(index(at));
    json[name]["address"] = one.address ? Json(one.address->text()) : Json();
    json[name]["traffic"] = Json::array();
    for (const cs::xfrm::Traffic& traffic : one.traffic) {
      json[name]["traffic"].push_back(
          {{"network", traffic.network.text()}, {"protocol", traffic.protocol}});
    }
  }
  return json;
}

Json state_json(const cs::xfrm::State& state) {
  Json json{{"policies", Json::array()}, {"sas", Json::array()}, {"interfaces", Json::array()}};
  for (const auto& one : state.policies) json["policies"].push_back(to_json(one));
  for (const auto& one : state.sas) json["sas"].push_back(to_json(one));
  for (const auto& one : state.interfaces) json["interfaces"].push_back(to_json(one));
  if (state.defaults) json["defaults"] = to_json(*state.defaults);
  return json;
}

void print_samples() {
  constexpr unsigned seed = 17;
  std::mt19937 random(seed);
  const auto draw = [&](unsigned n) { return static_cast<unsigned>(random()) % n; };
  for (int i = 0; i < 400; ++i) {
    const cs::xfrm::Agreement agreement = cs::test::random_agreement(random);
    const cs::xfrm::Tunnel& tunnel = agreement.tunnels.front();
    const End end = draw(2) == 0 ? End::left : End::right;
    cs::xfrm::State state = cs::test::StateMaker(draw).state();
    // Half of them with what is agreed among it.
    if (draw(2) == 0) {
      const auto kept = cs::test::state_of(cs::test::get(cs::xfrm::expect(agreement, end)));
      state.policies.insert(state.policies.end(), kept.policies.begin(), kept.policies.end());
      state.sas.insert(state.sas.end(), kept.sas.begin(), kept.sas.end());
    }
    const unsigned bypasses = draw(2);
    const auto form = cs::test::get(cs::xfrm::canonicalise(
        tunnel, end, state, cs::xfrm::PolicyIndex(state.policies), bypasses));
    const Json line{{"tunnel", tunnel_json(tunnel, end)},
                    {"known_bypasses", bypasses},
                    {"state", state_json(state)},
                    {"policies", cs::hex_encode(form.policies)},
                    {"sas", cs::hex_encode(form.sas)},
                    {"policies_sha256", cs::hex_encode(form.policies_sha256)},
                    {"whole_sha256", cs::hex_encode(form.whole_sha256)}};
    std::cout << line.dump() << "\n";
  }
}

}  // namespace

int main() {
  try {
    print_samples();
    return 0;
  } catch (const std::exception& error) {
    std::fputs(error.what(), stderr);
    return 1;
  }
}
