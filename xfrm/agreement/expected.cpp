// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/agreement/expected.h"

#include <algorithm>
#include <set>

#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

// The kernel's range is wide; strongSwan's priorities lie between 100,000 and 400,000.
constexpr std::uint32_t first_priority = 200'000;

std::vector<Traffic> traffic_of(const TunnelEnd& end) {
  if (!end.traffic.empty() || !end.address) return end.traffic;
  return {Traffic{.network = {*end.address, end.address->bits()}, .protocol = 0, .ports = {}}};
}

// nullopt: no packet fits both.
std::optional<Selector> pair(const Traffic& source, const Traffic& destination) {
  if (source.network.address.ipv6 != destination.network.address.ipv6) return std::nullopt;
  if (source.protocol != 0 && destination.protocol != 0 &&
      source.protocol != destination.protocol) {
    return std::nullopt;
  }
  Selector selector;
  selector.source = source.network;
  selector.destination = destination.network;
  selector.protocol = std::max(source.protocol, destination.protocol);
  selector.source_ports = source.ports;
  selector.destination_ports = destination.ports;
  return selector;
}

// More of it fixed: before the others.
std::uint32_t specificity(const Selector& selector) {
  const std::uint32_t prefixes = selector.source.length + selector.destination.length;
  const std::uint32_t rest = (selector.protocol != 0 ? 1U : 0U) +
                             (selector.source_ports.mask != 0 ? 1U : 0U) +
                             (selector.destination_ports.mask != 0 ? 1U : 0U);
  return prefixes * 4 + rest;
}

Policy policy_of(const Tunnel& tunnel, Direction direction, const Selector& selector, End from) {
  Policy policy;
  policy.direction = direction;
  policy.selector = selector;
  policy.mark =
      direction == Direction::out ? tunnel.outbound_policy_mark : tunnel.inbound_policy_mark;
  policy.interface_id = tunnel.interface_id;
  policy.priority = first_priority - specificity(selector);
  Template wanted;
  wanted.protocol = tunnel.protocol;
  wanted.mode = tunnel.mode;
  const Endpoints ends = endpoints(tunnel, from);
  wanted.source = ends.source;
  wanted.destination = ends.destination;
  policy.templates.push_back(wanted);
  return policy;
}

void add_tunnel(const Tunnel& tunnel, std::size_t number, Expected& out) {
  const End peer = other(out.end);
  const std::vector<Traffic> here = traffic_of(tunnel.ends.at(index(out.end)));
  const std::vector<Traffic> there = traffic_of(tunnel.ends.at(index(peer)));
  const bool forwards = tunnel.forwards && tunnel.mode == Mode::tunnel;
  for (const Traffic& own : here) {
    for (const Traffic& far : there) {
      const auto away = pair(own, far);
      const auto back = pair(far, own);
      if (!away || !back) continue;
      out.policies.push_back({number, policy_of(tunnel, Direction::out, *away, out.end)});
      out.policies.push_back({number, policy_of(tunnel, Direction::in, *back, peer)});
      if (!forwards) continue;
      out.policies.push_back({number, policy_of(tunnel, Direction::forward, *back, peer)});
    }
  }
}

ExpectedSa sa_of(const Tunnel& tunnel, std::size_t number, bool inbound, End from) {
  ExpectedSa out;
  out.tunnel = number;
  out.inbound = inbound;
  Sa& sa = out.sa;
  const Endpoints ends = endpoints(tunnel, from);
  sa.source = ends.source;
  sa.id.destination = ends.destination;
  sa.id.protocol = tunnel.protocol;
  sa.id.mark = inbound ? tunnel.inbound_mark : tunnel.outbound_policy_mark;
  if (!inbound) sa.output_mark = tunnel.output_mark;
  sa.mode = tunnel.mode;
  sa.selector.any_family = true;
  const Proposal& first = tunnel.proposals.front();
  sa.aead = first.aead;
  sa.encryption = first.encryption;
  sa.authentication = first.authentication;
  sa.replay.extended = tunnel.extended_sequence_numbers == Use::required;
  sa.replay.window = inbound ? tunnel.least_replay_window : 0;
  constexpr std::uint16_t esp_in_udp = 2;
  constexpr std::uint16_t nat_traversal = 4500;
  if (tunnel.udp_encapsulation == Use::required) {
    sa.encapsulation = Encapsulation{esp_in_udp, nat_traversal, nat_traversal};
  }
  sa.interface_id = tunnel.interface_id;
  sa.lifetime.hard_seconds = tunnel.most_seconds;
  return out;
}

void add_bypass(const Bypass& bypass, Expected& out) {
  const auto add = [&](Direction direction, const Traffic& from, const Traffic& to) {
    const auto selector = pair(from, to);
    if (!selector) return;
    Policy policy;
    policy.direction = direction;
    policy.selector = *selector;
    out.policies.push_back({std::nullopt, policy});
  };
  add(Direction::out, bypass.here, bypass.there);
  add(Direction::in, bypass.there, bypass.here);
  add(Direction::forward, bypass.there, bypass.here);
}

}  // namespace

bool is_any(const Address& address) noexcept {
  return std::all_of(address.bytes.begin(), address.bytes.end(), [](auto b) { return b == 0; });
}

Endpoints endpoints(const Tunnel& tunnel, End from) {
  const auto& own = tunnel.ends.at(index(from)).address;
  const auto& far = tunnel.ends.at(index(other(from))).address;
  Address unknown;
  unknown.ipv6 = own ? own->ipv6 : far && far->ipv6;
  return {own.value_or(unknown), far.value_or(unknown)};
}

Result<Expected> expect(const Agreement& agreement, End end) {
  CS_CHECK(validate(agreement));
  const auto refused = [&](const std::string& name, std::string_view why) {
    return Error(ErrorKind::invalid, "the agreement's tunnel '" + name + "': " + std::string(why));
  };
  Expected out;
  out.agreement = agreement;
  out.end = end;
  for (const Bypass& bypass : agreement.bypasses) {
    if (bypass.at == end) add_bypass(bypass, out);
  }
  for (std::size_t i = 0; i < agreement.tunnels.size(); ++i) {
    const Tunnel& tunnel = agreement.tunnels[i];
    const std::size_t before = out.policies.size();
    add_tunnel(tunnel, i, out);
    if (out.policies.size() == before) {
      return refused(tunnel.name, "no packet fits the traffic of both its ends");
    }
    out.sas.push_back(sa_of(tunnel, i, true, other(end)));
    out.sas.push_back(sa_of(tunnel, i, false, end));
  }
  std::stable_sort(out.policies.begin(), out.policies.end(),
                   [](const ExpectedPolicy& a, const ExpectedPolicy& b) {
                     return a.policy.priority < b.policy.priority;
                   });
  std::set<std::string> seen;
  for (const ExpectedPolicy& one : out.policies) {
    const Policy& policy = one.policy;
    const std::string name = name_of(policy);
    if (!seen.insert(name + text(policy.mark) + "/" + std::to_string(policy.interface_id)).second &&
        one.tunnel) {
      return refused(agreement.tunnels[*one.tunnel].name, name + " is agreed twice");
    }
  }
  return out;
}

}  // namespace cs::xfrm
