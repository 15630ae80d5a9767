// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "xfrm/agreement/compare_parts.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

std::string ends_text(const Address& source, const Address& destination) {
  const auto one = [](const Address& a) { return is_any(a) ? std::string("any") : a.text(); };
  return one(source) + " → " + one(destination);
}

// One policy, its name and where what is found goes.
struct Judge {
  const std::string& tunnel;
  std::string name;
  Differences& differences;

  void tell(Code code, const std::string& rest) const {
    differences.add(code, tunnel, name + " " + rest);
  }
  void tell_if(bool wrong, Code code, const std::string& rest) const {
    if (wrong) tell(code, rest);
  }
};

void compare_template(const Template& wanted, const Template& actual, const Judge& judge) {
  judge.tell_if(actual.protocol != wanted.protocol, Code::template_protocol,
                "takes " + ipsec_protocol(actual.protocol) + " where " +
                    ipsec_protocol(wanted.protocol) + " is agreed");
  judge.tell_if(actual.mode != wanted.mode, Code::template_mode,
                "is in " + std::string(text(actual.mode)) + " mode where " +
                    std::string(text(wanted.mode)) + " is agreed");
  const bool same_ends =
      wanted.mode == Mode::transport || (is_agreed(wanted.source, actual.source) &&
                                         is_agreed(wanted.destination, actual.destination));
  judge.tell_if(!same_ends, Code::template_endpoints,
                "goes from " + ends_text(actual.source, actual.destination) + " where " +
                    ends_text(wanted.source, wanted.destination) + " is agreed");
  judge.tell_if(actual.optional, Code::template_optional,
                "has an optional template (level use): without an SA its traffic passes in clear");
  judge.tell_if(actual.authentications != wanted.authentications ||
                    actual.encryptions != wanted.encryptions ||
                    actual.compressions != wanted.compressions,
                Code::template_algorithms, "limits the algorithms by masks of its own");
}

void compare_templates(const Policy& wanted, const Policy& actual, const Judge& judge) {
  if (wanted.templates.empty()) {
    judge.tell_if(!actual.templates.empty(), Code::policy_templates,
                  "protects traffic that is agreed to pass in clear");
    return;
  }
  if (actual.templates.empty()) {
    judge.tell(Code::policy_in_clear, "has no template: its traffic passes in clear where " +
                                          ipsec_protocol(wanted.templates.front().protocol) +
                                          " is agreed");
    return;
  }
  judge.tell_if(
      actual.templates.size() != 1, Code::policy_templates,
      "has " + std::to_string(actual.templates.size()) + " templates where one is agreed");
  // With several, the one that is most like the agreed one: the last in a bundle with IPComp.
  const Template& first = wanted.templates.front();
  const auto like = std::find_if(actual.templates.begin(), actual.templates.end(),
                                 [&](const Template& t) { return t.protocol == first.protocol; });
  compare_template(first, like == actual.templates.end() ? actual.templates.front() : *like, judge);
}

}  // namespace

bool is_agreed(const Address& agreed, const Address& actual) noexcept {
  return agreed.ipv6 == actual.ipv6 && (is_any(agreed) || agreed == actual);
}

bool names_pair(const Policy& policy, const Policy& wanted) noexcept {
  if (wanted.templates.empty()) return false;
  const Template& agreed = wanted.templates.front();
  return std::any_of(policy.templates.begin(), policy.templates.end(), [&](const Template& actual) {
    return actual.mode != Mode::transport && is_agreed(agreed.source, actual.source) &&
           is_agreed(agreed.destination, actual.destination);
  });
}

void compare_contents(const ExpectedPolicy& wanted, const Policy& actual, const std::string& tunnel,
                      Differences& differences) {
  const Judge judge{tunnel, name_of(wanted.policy), differences};
  if (actual.action == Action::block) {
    judge.tell(Code::policy_blocks, "blocks what it should let pass");
    return;
  }
  compare_templates(wanted.policy, actual, judge);
  judge.tell_if(
      actual.mark != wanted.policy.mark, Code::policy_mark,
      "has the mark " + text(actual.mark) + " where " + text(wanted.policy.mark) + " is agreed");
  judge.tell_if(actual.interface_id != wanted.policy.interface_id, Code::policy_interface_id,
                "has if_id " + std::to_string(actual.interface_id) + " where " +
                    std::to_string(wanted.policy.interface_id) + " is agreed");
  judge.tell_if(actual.flags != 0, Code::policy_flags,
                "has flags that are not agreed: " + std::to_string(actual.flags));
  judge.tell_if(actual.offload.has_value(), Code::policy_offload,
                "is given to a network card, behind whose back nothing is signed");
  judge.tell_if(!actual.security_context.empty(), Code::policy_context,
                "holds only for the security context " + actual.security_context);
  const Lifetime& life = actual.lifetime;
  judge.tell_if(life.hard_seconds != 0 || life.hard_use_seconds != 0 ||
                    life.hard_bytes != Lifetime::unlimited ||
                    life.hard_packets != Lifetime::unlimited,
                Code::policy_expires, "will expire by itself");
  for (const Opaque& one : actual.unknown) {
    judge.tell(Code::policy_attribute,
               "has an attribute that this program does not know: " + std::to_string(one.type));
  }
}

}  // namespace cs::xfrm
