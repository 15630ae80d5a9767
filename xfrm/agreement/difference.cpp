// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/agreement/difference.h"

#include "base/error.h"

namespace cs::xfrm {
namespace {

constexpr auto breach = Severity::breach;
constexpr auto fault = Severity::fault;
constexpr auto note = Severity::note;

constexpr std::string_view reload =
    "load the connection anew: swanctl --load-all, then initiate it";
constexpr std::string_view rekey = "replace the SA: swanctl --rekey, or delete it";
constexpr std::string_view remove = "find out who put it there, then: ip xfrm policy delete";

// In the order of Code.
constexpr std::array<Meaning, code_count> meanings{{
    {"policy-missing", breach, reload},
    {"policy-narrowed", breach, "protect all the agreed traffic: correct local_ts and remote_ts"},
    {"policy-widened", breach, "protect no more than was agreed: correct local_ts and remote_ts"},
    {"policy-in-clear", breach, reload},
    {"policy-blocks", fault, reload},
    {"policy-templates", breach, "protect it once, as agreed; IPComp is not agreed: ipcomp = no"},
    {"template-protocol", breach, "use the agreed protocol: esp_proposals or ah_proposals"},
    {"template-mode", breach, "use the agreed mode: correct mode"},
    {"template-endpoints", breach, "use the agreed addresses: correct local_addrs, remote_addrs"},
    {"template-optional", breach, "make it required: ip xfrm policy update, tmpl level required"},
    {"template-algorithms", fault, "leave the choice of algorithms to the SAs"},
    {"policy-mark", breach, "correct mark_in or mark_out of the connection"},
    {"policy-mark-gap", breach,
     "add a policy without mark and with a higher number as priority that blocks this traffic"},
    {"policy-interface-id", breach, "correct if_id_in and if_id_out of the connection"},
    {"policy-flags", fault, reload},
    {"policy-offload", breach, "leave it to the kernel: hw_offload = no"},
    {"policy-context", breach, "remove the security label from the connection"},
    {"policy-expires", fault, "set no lifetime on policies"},
    {"policy-attribute", fault, "use a release of this program that knows this kernel"},
    {"policy-duplicate", note, remove},
    {"policy-order", breach, "give the more specific policy the lower priority"},
    {"policy-bypass", breach, remove},
    {"policy-shadowed", breach, remove},
    {"policy-blocked", fault, remove},
    {"policy-extra", breach, remove},
    {"policy-sub", breach, remove},
    {"bypass-missing", fault, "load the passthrough connection anew"},
    {"socket-bypass", breach, "find the process that set IP_XFRM_POLICY on a socket and end it"},
    {"socket-block", fault, "find the process that set IP_XFRM_POLICY on a socket and end it"},
    {"socket-other", breach, "find the process that set IP_XFRM_POLICY on a socket and end it"},
    {"default-policy", breach, "ip xfrm policy setdefault, as agreed"},
    {"disable-xfrm", breach, "sysctl -w net.ipv4.conf.INTERFACE.disable_xfrm=0"},
    {"disable-policy", breach, "sysctl -w net.ipv4.conf.INTERFACE.disable_policy=0, net.ipv6 too"},
    {"sa-missing", note, "initiate the connection: swanctl --initiate"},
    {"sa-unknown", breach, "find out who put it there, then: ip xfrm state delete"},
    {"ike-silent", fault, "look why: systemctl status strongswan, swanctl --stats"},
    {"sa-endpoints", breach, "find out who put it there, then: ip xfrm state delete"},
    {"sa-protocol", breach, rekey},
    {"sa-mode", breach, rekey},
    {"sa-algorithm", breach, "correct esp_proposals or ah_proposals on both ends, then rekey"},
    {"sa-sequence-numbers", breach, "correct esn or noesn in the proposals, then rekey"},
    {"sa-replay-window", breach, "raise replay_window of the connection, then rekey"},
    {"sa-udp", fault, "correct encap of the connection, then rekey"},
    {"sa-mark", breach, "set mark_in, and mark_in_sa = yes, then rekey"},
    {"sa-output-mark", breach, "set set_mark_out, and no set_mark_in, then rekey"},
    {"sa-interface-id", breach, "correct if_id_in and if_id_out, then rekey"},
    {"sa-lifetime", breach, "lower life_time of the connection, then rekey"},
    {"sa-flags", breach, rekey},
    {"sa-selector", fault, rekey},
    {"sa-direction", fault, rekey},
    {"sa-offload", breach, "leave it to the kernel: hw_offload = no, then rekey"},
    {"sa-attribute", fault, "use a release of this program that knows this kernel"},
    {"too-many", breach, "mend what is told, then look again"},
}};

}  // namespace

const Meaning& meaning(Code code) noexcept {
  const auto index = static_cast<std::size_t>(code);
  return index < meanings.size() ? meanings.at(index) : meanings.back();
}

std::string_view text(Severity severity) noexcept {
  constexpr std::array<std::string_view, 3> names{"breach", "fault", "note"};
  const auto index = static_cast<std::size_t>(severity);
  return index < names.size() ? names.at(index) : "unknown";
}

void Differences::add(Code code, std::string_view tunnel, const std::string& sentence) {
  if (found_.size() >= max_differences) {
    cut("there are more than " + std::to_string(max_differences) + " differences");
    return;
  }
  found_.push_back({code, std::string(tunnel), detail::one_line(sentence)});
}

void Differences::cut(std::string sentence) {
  if (!cut_) found_.push_back({Code::too_many, "", std::move(sentence)});
  cut_ = true;
}

}  // namespace cs::xfrm
