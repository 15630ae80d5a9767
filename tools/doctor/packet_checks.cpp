// SPDX-License-Identifier: GPL-3.0-or-later
// Whether packets can be taken out of the kernel, signed, and kept in when they are not.
#include "tools/doctor/checks.h"
#include "tools/doctor/words.h"

namespace cs::doctor {

Finding look_at_nfqueue(const Machine& machine) {
  const auto answer = machine.try_nfqueue();
  if (answer.ok()) return good("the kernel answers");
  if (answer.error().kind() == ErrorKind::denied) return unchecked(answer.error());
  return without_module(machine, answer.error().message(), "nfnetlink_queue",
                        "CONFIG_NETFILTER_NETLINK_QUEUE");
}

Finding look_at_steering(const Machine& machine) {
  const auto nft = machine.try_rules(RuleKind::nft);
  if (nft.ok()) return good("nftables takes the rules: use nfq-signer rules --nft");
  if (nft.error().kind() == ErrorKind::denied) return unchecked(nft.error());
  const auto iptables = machine.try_rules(RuleKind::iptables);
  if (iptables.ok()) {
    return good("iptables takes the rules, nftables does not: use nfq-signer rules --iptables");
  }
  std::string reason =
      "neither takes the rules: " + nft.error().message() + "; " + iptables.error().message();
  if (nft.error().kind() == ErrorKind::not_found) {
    return {Verdict::bad, std::move(reason), "apt-get install nftables"};
  }
  return without_module(machine, std::move(reason), "nft_queue",
                        "CONFIG_NFT_QUEUE, CONFIG_NFT_CT and CONFIG_NFT_XFRM");
}

Finding look_at_egress_guard(const Machine& machine) {
  const auto answer = machine.try_rules(RuleKind::tc);
  if (answer.ok()) return good("tc takes the filter");
  if (answer.error().kind() == ErrorKind::denied) return unchecked(answer.error());
  if (answer.error().kind() == ErrorKind::not_found) {
    return {Verdict::bad, answer.error().message(), "apt-get install iproute2"};
  }
  // The one that is blocked most likely, or else the first that tc needs.
  for (const std::string module : {"sch_ingress", "cls_fw", "act_gact"}) {
    const ModuleCure cure = module_cure(machine, module, "");
    if (!cure.reason.empty()) {
      return {Verdict::bad, answer.error().message() + "; " + cure.reason, cure.command};
    }
  }
  return without_module(machine, answer.error().message(), "sch_ingress",
                        "CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_FW and CONFIG_NET_ACT_GACT");
}

}  // namespace cs::doctor
