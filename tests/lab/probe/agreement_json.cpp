// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/lab/probe/agreement_json.h"

#include <netinet/in.h>

#include <nlohmann/json.hpp>

namespace cs::test {
namespace {

using nlohmann::json;

xfrm::Use use_of(const std::string& word) {
  if (word == "required") return xfrm::Use::required;
  return word == "allowed" ? xfrm::Use::allowed : xfrm::Use::forbidden;
}

void read_mark(const json& from, const char* name, xfrm::Mark& mark) {
  if (from.contains(name)) mark = {from.at(name).at(0), from.at(name).at(1)};
}

Result<xfrm::TunnelEnd> parse_end(const json& from) {
  xfrm::TunnelEnd end;
  if (!from.at("address").is_null()) {
    CS_TRY(end.address, net::Address::parse(from.at("address").get<std::string>()));
  }
  for (const json& network : from.value("networks", json::array())) {
    CS_TRY(const auto prefix, net::Prefix::parse(network.get<std::string>()));
    end.traffic.push_back({prefix, 0, {}});
  }
  return end;
}

Result<xfrm::Tunnel> parse_tunnel(const json& from) {
  xfrm::Tunnel tunnel;
  tunnel.name = from.at("name");
  tunnel.mode = from.at("mode") == "tunnel" ? xfrm::Mode::tunnel : xfrm::Mode::transport;
  tunnel.protocol = from.value("protocol", "esp") == "ah" ? IPPROTO_AH : IPPROTO_ESP;
  CS_TRY(tunnel.ends[0], parse_end(from.at("left")));
  CS_TRY(tunnel.ends[1], parse_end(from.at("right")));
  for (const json& words : from.at("proposals")) {
    CS_TRY(auto proposal, xfrm::parse_proposal(words.get<std::string>()));
    tunnel.proposals.push_back(std::move(proposal));
  }
  tunnel.udp_encapsulation = use_of(from.value("udp", "forbidden"));
  tunnel.extended_sequence_numbers = use_of(from.value("esn", "allowed"));
  tunnel.forwards = from.value("forwards", true);
  tunnel.most_seconds = from.value("most_seconds", std::uint64_t{0});
  read_mark(from, "inbound_mark", tunnel.inbound_mark);
  read_mark(from, "output_mark", tunnel.output_mark);
  read_mark(from, "inbound_policy_mark", tunnel.inbound_policy_mark);
  read_mark(from, "outbound_policy_mark", tunnel.outbound_policy_mark);
  return tunnel;
}

}  // namespace

Result<xfrm::Agreement> parse_agreement(const std::string& json_text) {
  try {
    const json from = json::parse(json_text);
    xfrm::Agreement agreement;
    for (const json& one : from.at("tunnels")) {
      CS_TRY(auto tunnel, parse_tunnel(one));
      agreement.tunnels.push_back(std::move(tunnel));
    }
    return agreement;
  } catch (const json::exception& wrong) {
    return Error(ErrorKind::invalid, std::string("reading an agreement: ") + wrong.what());
  }
}

}  // namespace cs::test
