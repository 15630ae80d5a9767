// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/agreement/compare.h"

#include "xfrm/agreement/compare_parts.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

void compare_sockets(Comparison& c, const Known& known) {
  std::size_t bypasses = 0;
  for (const Policy& policy : c.state.policies) {
    if (!policy.is_of_socket()) continue;
    switch (socket_class(policy)) {
      case SocketPolicy::bypass:
        ++bypasses;
        break;
      case SocketPolicy::block:
        c.differences.add(Code::socket_block, "", "a " + name_of(policy) + " blocks");
        break;
      case SocketPolicy::other:
        c.differences.add(Code::socket_other, "",
                          "a " + name_of(policy) + " is neither of the IKE daemon nor of keymsd");
        break;
    }
  }
  if (bypasses <= known.socket_bypasses) return;
  c.differences.add(
      Code::socket_bypass, "",
      std::to_string(bypasses) + " policies of sockets let everything pass in clear, " +
          std::to_string(known.socket_bypasses) + " are the IKE daemon's and keymsd's");
}

void compare_defaults(Comparison& c) {
  const Defaults actual = c.state.defaults.value_or(Defaults{});
  const Defaults& agreed = c.expected.agreement.defaults;
  const auto check = [&](Action is, Action should, Direction direction) {
    if (should != Action::block || is == Action::block) return;
    c.differences.add(
        Code::default_policy, "",
        "the default policy " + std::string(text(direction)) + " is allow where block is agreed");
  };
  check(actual.in, agreed.in, Direction::in);
  check(actual.forward, agreed.forward, Direction::forward);
  check(actual.out, agreed.out, Direction::out);
}

void compare_switches(Comparison& c) {
  for (const InterfaceSwitches& one : c.state.interfaces) {
    if (one.name == "lo") continue;  // the kernel sets both for loopback, by itself
    const std::string where = "on interface " + one.name;
    if (one.disable_xfrm) {
      c.differences.add(Code::disable_xfrm, "",
                        "disable_xfrm is set " + where + ": what leaves by it leaves in clear");
    }
    if (one.disable_policy || one.disable_policy_ipv6) {
      std::string_view family = "IPv4 and IPv6";
      if (!one.disable_policy_ipv6) family = "IPv4";
      if (!one.disable_policy) family = "IPv6";
      c.differences.add(Code::disable_policy, "",
                        "disable_policy is set " + where + " for " + std::string(family) +
                            ": what comes in clear is taken");
    }
  }
}

void compare_types(Comparison& c) {
  for (const Policy& policy : c.state.policies) {
    if (policy.type != PolicyType::sub) continue;
    c.differences.add(Code::policy_sub, "",
                      name_of(policy) + " is of type sub, which goes before all of type main");
  }
}

}  // namespace

const std::string& Comparison::tunnel_name(const ExpectedPolicy& one) const {
  static const std::string none;
  return one.tunnel ? expected.agreement.tunnels.at(*one.tunnel).name : none;
}

std::vector<Difference> compare(const Expected& expected, const State& state, const Known& known) {
  Comparison c(expected, state);
  match_policies(c);
  find_intruders(c);
  compare_types(c);
  compare_sas(c);
  compare_sockets(c, known);
  compare_defaults(c);
  compare_switches(c);
  return c.differences.take();
}

}  // namespace cs::xfrm
