// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/from_kernel.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "xfrm/agreement/precedence.h"
#include "xfrm/state/text.h"

namespace cs::keyms {
namespace {

using xfrm::Direction;
using xfrm::Policy;
using xfrm::Sa;
using xfrm::Traffic;

// From here to there; what makes policies one tunnel.
struct Ends {
  net::Address here;
  net::Address there;
};
struct Group {
  Ends ends;
  std::vector<const Policy*> policies;  // out
};

bool is_protecting(const Policy& policy) noexcept {
  return policy.type == xfrm::PolicyType::main && policy.action == xfrm::Action::allow &&
         policy.templates.size() == 1;
}

// In transport mode the kernel does not look at a template's addresses.
Ends ends_of(const Policy& policy) {
  const xfrm::Template& used = policy.templates.front();
  if (used.mode == xfrm::Mode::transport) {
    return {policy.selector.source.address, policy.selector.destination.address};
  }
  return {used.source, used.destination};
}

auto key_of(const net::Address& address) {
  return std::tuple(address.ipv6, address.bytes);
}

auto key_of(const Policy& policy) {
  const xfrm::Template& used = policy.templates.front();
  const Ends ends = ends_of(policy);
  return std::tuple(key_of(ends.there), key_of(ends.here), used.mode, used.protocol, used.reqid,
                    policy.mark.value, policy.mark.mask, policy.interface_id);
}

void add(std::vector<Traffic>& all, const Traffic& one) {
  if (std::ranges::find(all, one) == all.end()) all.push_back(one);
}

bool fit(const Traffic& own, const Traffic& far) noexcept {
  return own.network.address.ipv6 == far.network.address.ipv6 &&
         (own.protocol == 0 || far.protocol == 0 || own.protocol == far.protocol);
}

// What both ends protect, if it is each pair of it that fits. A selector has one protocol for both
// ends: it is told of the own or the far one, and of an end that has a port.
using Sides = std::array<std::vector<Traffic>, 2>;
std::optional<Sides> as_product(const Group& group, bool protocol_is_own) {
  Sides out;
  for (const Policy* policy : group.policies) {
    const xfrm::Selector& selector = policy->selector;
    const auto told = [&](bool is_told) { return is_told ? selector.protocol : std::uint8_t{0}; };
    const xfrm::Ports& near = selector.source_ports;
    const xfrm::Ports& far = selector.destination_ports;
    add(out[0], {selector.source, told(protocol_is_own || near.mask != 0), near});
    add(out[1], {selector.destination, told(!protocol_is_own || far.mask != 0), far});
  }
  std::size_t pairs = 0;
  for (const Traffic& own : out[0]) {
    pairs += static_cast<std::size_t>(
        std::ranges::count_if(out[1], [&](const Traffic& far) { return fit(own, far); }));
  }
  if (pairs != group.policies.size()) return std::nullopt;
  return out;
}

xfrm::Selector reversed(xfrm::Selector selector) {
  std::swap(selector.source, selector.destination);
  std::swap(selector.source_ports, selector.destination_ports);
  return selector;
}

class Drawer {
 public:
  Drawer(const xfrm::State& state, Drawn& out) : state_(state), out_(out) {}

  Result<xfrm::Agreement> run(const std::optional<net::Address>& peer) {
    CS_TRY(const std::vector<Group> groups, find_groups(peer));
    xfrm::Agreement agreement;
    for (const Group& group : groups) {
      std::optional<Sides> sides = as_product(group, false);
      if (!sides) sides = as_product(group, true);
      if (sides) {
        add_tunnel(group, *sides, agreement);
        continue;
      }
      note("not every network here has a policy with every one of " + group.ends.there.text() +
           ": each policy becomes a tunnel, and wants SAs of its own");
      for (const Policy* policy : group.policies) {
        const Group alone{group.ends, {policy}};
        add_tunnel(alone, as_product(alone, false).value_or(Sides()), agreement);
      }
    }
    if (agreement.tunnels.size() > xfrm::max_tunnels) {
      return Error(ErrorKind::limit, "the kernel has more tunnels with this peer than the " +
                                         std::to_string(xfrm::max_tunnels) + " of a policy");
    }
    add_bypasses(groups, agreement);
    if (state_.defaults) agreement.defaults = *state_.defaults;
    return agreement;
  }

 private:
  Result<std::vector<Group>> find_groups(const std::optional<net::Address>& peer) const {
    std::map<decltype(key_of(std::declval<const Policy&>())), Group> groups;
    std::set<std::string> peers;
    for (const Policy& policy : state_.policies) {
      if (policy.direction != Direction::out || !is_protecting(policy)) continue;
      const Ends ends = ends_of(policy);
      if (peer && *peer != ends.there) continue;
      peers.insert(ends.there.text());
      Group& group = groups[key_of(policy)];
      group.ends = ends;
      group.policies.push_back(&policy);
    }
    if (peers.empty()) {
      return Error(ErrorKind::not_found, "the kernel has no IPsec policy out" +
                                             (peer ? " for " + peer->text() : std::string()))
          .with_hint("bring the tunnel up first; `countersign xfrm show` tells what there is");
    }
    if (peers.size() > 1) {
      std::string list;
      for (const std::string& one : peers) list += (list.empty() ? "" : ", ") + one;
      return Error(ErrorKind::invalid, "the kernel has tunnels with several peers")
          .with_hint("choose one with --peer: " + list);
    }
    std::vector<Group> out;
    out.reserve(groups.size());
    for (auto& [key, group] : groups) out.push_back(std::move(group));
    return out;
  }

  void add_tunnel(const Group& group, const Sides& sides, xfrm::Agreement& agreement) {
    const Policy& first = *group.policies.front();
    const xfrm::Template& used = first.templates.front();
    xfrm::Tunnel& out = agreement.tunnels.emplace_back();
    out.name = "tunnel-" + std::to_string(agreement.tunnels.size());
    out.ends = {xfrm::TunnelEnd{group.ends.here, sides[0]},
                xfrm::TunnelEnd{group.ends.there, sides[1]}};
    out.mode = used.mode;
    out.protocol = used.protocol;
    out.outbound_policy_mark = first.mark;
    out.interface_id = first.interface_id;
    out.forwards = false;
    const xfrm::Selector back = reversed(first.selector);
    for (const Policy& policy : state_.policies) {
      if (!is_protecting(policy) || policy.selector != back) continue;
      if (policy.direction == Direction::in) out.inbound_policy_mark = policy.mark;
      if (policy.direction == Direction::forward) out.forwards = true;
    }
    if (out.mode == xfrm::Mode::transport) out.forwards = true;  // does not matter there
    read_sas(group, used, out);
  }

  void read_sas(const Group& group, const xfrm::Template& used, xfrm::Tunnel& out) {
    bool any = false;
    bool unlimited = false;
    std::optional<std::uint32_t> window;
    out.inbound_mark = {};
    out.output_mark = {};
    for (const Sa& sa : state_.sas) {
      const bool inbound = sa.source == group.ends.there && sa.id.destination == group.ends.here;
      const bool outbound = sa.source == group.ends.here && sa.id.destination == group.ends.there;
      if ((!inbound && !outbound) || sa.is_larval() || sa.id.protocol != used.protocol ||
          (used.reqid != 0 && sa.reqid != used.reqid)) {
        continue;
      }
      any = true;
      add_proposal(sa, out);
      unlimited = unlimited || sa.lifetime.hard_seconds == 0;
      out.most_seconds = std::max(out.most_seconds, sa.lifetime.hard_seconds);
      if (outbound) out.output_mark = sa.output_mark;
      if (!inbound) continue;
      out.inbound_mark = sa.id.mark;
      window = std::min(window.value_or(sa.replay.window), sa.replay.window);
    }
    if (unlimited) out.most_seconds = 0;
    if (window) out.least_replay_window = *window;
    if (!any) note(out.name + ": there is no SA, so its proposals are to be filled in");
    if (window == 0U)
      note(out.name + ": an inbound SA has no replay window; no policy allows that");
  }

  void add_proposal(const Sa& sa, xfrm::Tunnel& out) {
    xfrm::Proposal found{sa.aead, sa.encryption, sa.authentication};
    if (found.authentication && found.authentication->icv_bits == 0) {
      found.authentication->icv_bits = xfrm::default_icv_bits(found.authentication->name);
    }
    if (!xfrm::words_of(found)) {
      return note(out.name + ": no words are known for the algorithms of " + xfrm::name_of(sa));
    }
    if (std::ranges::find(out.proposals, found) == out.proposals.end() &&
        out.proposals.size() < xfrm::max_proposals) {
      out.proposals.push_back(found);
    }
  }

  // What goes in clear before a tunnel of this peer.
  void add_bypasses(const std::vector<Group>& groups, xfrm::Agreement& agreement) {
    for (const Policy& policy : state_.policies) {
      if (policy.direction != Direction::out || policy.action != xfrm::Action::allow ||
          !policy.templates.empty() || policy.type != xfrm::PolicyType::main) {
        continue;
      }
      const auto sides = as_product({{}, {&policy}}, false);
      const bool before =
          sides && std::ranges::any_of(groups, [&](const Group& group) {
            return std::ranges::any_of(group.policies, [&](const Policy* tunnel) {
              return policy.priority <= tunnel->priority && xfrm::overlap(policy, *tunnel);
            });
          });
      if (!before) continue;
      if (agreement.bypasses.size() == xfrm::max_bypasses) {
        return note("there are more bypasses than the " + std::to_string(xfrm::max_bypasses) +
                    " of a policy");
      }
      const std::string name = "bypass-" + std::to_string(agreement.bypasses.size() + 1);
      note(name + ": " + xfrm::name_of(policy) + " lets traffic of a tunnel pass in clear");
      agreement.bypasses.push_back(
          {name, xfrm::End::left, sides->at(0).front(), sides->at(1).front()});
    }
  }

  void note(std::string what) { out_.notes.push_back(std::move(what)); }

  const xfrm::State& state_;
  Drawn& out_;
};

}  // namespace

Result<Drawn> from_kernel(const xfrm::State& state, const std::optional<net::Address>& peer,
                          const DrawOptions& options) {
  Drawn out;
  CS_TRY(xfrm::Agreement agreement, Drawer(state, out).run(peer));
  out.policy = draw(options, std::move(agreement));
  return out;
}

}  // namespace cs::keyms
