// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/agreement/agreement.h"

#include <netinet/in.h>

#include <algorithm>
#include <set>

namespace cs::xfrm {
namespace {

Error refused(const std::string& what) {
  return {ErrorKind::invalid, what};
}

Error above(const std::string& what, std::size_t most) {
  return {ErrorKind::limit, what + " are more than the " + std::to_string(most) + " allowed"};
}

bool is_matchable(const Mark& mark) noexcept {
  return (mark.value & ~mark.mask) == 0;
}

Result<void> check_name(const std::string& name, std::set<std::string_view>& seen) {
  if (name.empty() || name.size() > max_name) {
    return refused("a name has 1 to " + std::to_string(max_name) + " bytes");
  }
  if (!seen.insert(name).second) return refused("the name is there twice");
  return {};
}

Result<void> check_traffic(const Traffic& traffic) {
  CS_TRY(const Prefix made, Prefix::make(traffic.network.address, traffic.network.length));
  if ((traffic.ports.port & ~traffic.ports.mask) != 0) {
    return refused("a port outside its mask in " + made.text());
  }
  if (traffic.ports.mask != 0 && traffic.protocol == 0) {
    return refused("ports without a protocol in " + made.text());
  }
  return {};
}

Result<void> check_proposal(const Tunnel& tunnel, const Proposal& proposal) {
  const bool ah = tunnel.protocol == IPPROTO_AH;
  if (ah && (proposal.aead || proposal.encryption || !proposal.authentication)) {
    return refused("AH takes an authentication algorithm and no other");
  }
  const bool both = proposal.encryption && proposal.authentication;
  if (!ah && (proposal.aead.has_value() == both ||
              (proposal.aead && (proposal.encryption || proposal.authentication)))) {
    return refused("ESP takes an AEAD algorithm, or an encryption with an authentication");
  }
  for (const auto* one : {&proposal.aead, &proposal.encryption, &proposal.authentication}) {
    if (!*one) continue;
    if ((*one)->name.empty() || (*one)->name.size() > max_name || (*one)->key_bits == 0) {
      return refused("an algorithm has a name of up to 64 bytes and a key");
    }
  }
  return {};
}

Result<void> check_marks(const Tunnel& tunnel) {
  for (const Mark& mark : {tunnel.inbound_mark, tunnel.output_mark, tunnel.inbound_policy_mark,
                           tunnel.outbound_policy_mark}) {
    if (!is_matchable(mark)) return refused("a mark has bits outside its mask");
  }
  if (tunnel.inbound_policy_mark != Mark{} && tunnel.inbound_policy_mark != tunnel.inbound_mark) {
    return refused("inbound policies carry no mark, or the inbound SAs'");
  }
  return {};
}

Result<void> check_ends(const Tunnel& tunnel) {
  const TunnelEnd& left = tunnel.ends[0];
  const TunnelEnd& right = tunnel.ends[1];
  if (!left.address && !right.address) {
    return refused("neither end has an address, so no SA could be told from another's");
  }
  if (left.address && right.address &&
      (left.address->ipv6 != right.address->ipv6 || *left.address == *right.address)) {
    return refused("the ends' addresses are the same or of different families");
  }
  for (const TunnelEnd& end : tunnel.ends) {
    for (const Traffic& traffic : end.traffic) CS_CHECK(check_traffic(traffic));
    const bool itself = tunnel.mode == Mode::transport && end.address.has_value();
    if (end.traffic.empty() && !itself) return refused("an end protects no traffic");
  }
  return {};
}

}  // namespace

Result<void> validate(const Tunnel& tunnel) {
  if (tunnel.mode != Mode::tunnel && tunnel.mode != Mode::transport) {
    return refused("its mode is neither tunnel nor transport");
  }
  if (tunnel.protocol != IPPROTO_ESP && tunnel.protocol != IPPROTO_AH) {
    return refused("its protocol is neither ESP nor AH");
  }
  if (std::max(tunnel.ends[0].traffic.size(), tunnel.ends[1].traffic.size()) > max_pairs) {
    return above("its protected networks", max_pairs);
  }
  CS_CHECK(check_ends(tunnel));
  if (tunnel.proposals.empty()) return refused("it has no proposal");
  if (tunnel.proposals.size() > max_proposals) return above("its proposals", max_proposals);
  for (const Proposal& proposal : tunnel.proposals) CS_CHECK(check_proposal(tunnel, proposal));
  if (tunnel.protocol == IPPROTO_AH && tunnel.udp_encapsulation == Use::required) {
    return refused("AH does not go in UDP");
  }
  if (tunnel.least_replay_window == 0) {
    return refused("a replay window of 0 lets every packet be replayed");
  }
  return check_marks(tunnel);
}

Result<void> validate(const Agreement& agreement) {
  if (agreement.tunnels.size() > max_tunnels) return above("the tunnels", max_tunnels);
  if (agreement.bypasses.size() > max_bypasses) return above("the bypasses", max_bypasses);
  std::set<std::string_view> names;
  std::size_t pairs = 0;
  for (const Tunnel& tunnel : agreement.tunnels) {
    const auto where = [&] { return "the agreement's tunnel '" + tunnel.name + "'"; };
    CS_CHECK(check_name(tunnel.name, names).context(where));
    CS_CHECK(validate(tunnel).context(where));
    pairs += tunnel.ends[0].traffic.size() * tunnel.ends[1].traffic.size();
  }
  if (pairs > max_pairs) return above("the pairs of protected networks", max_pairs);
  for (const Bypass& bypass : agreement.bypasses) {
    const auto where = [&] { return "the agreement's bypass '" + bypass.name + "'"; };
    CS_CHECK(check_name(bypass.name, names).context(where));
    for (const Traffic& traffic : {bypass.here, bypass.there}) {
      CS_CHECK(check_traffic(traffic).context(where));
    }
    if (bypass.here.network.address.ipv6 != bypass.there.network.address.ipv6) {
      return refused("its networks are of different families").context(where());
    }
  }
  return {};
}

}  // namespace cs::xfrm
