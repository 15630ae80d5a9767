// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/rules_apply.h"

#include <net/if.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "xfrm/command.h"

namespace cs {
namespace {

constexpr std::string_view other_way_nft =
    "if this kernel's nftables has no queue (CONFIG_NFT_QUEUE), use --iptables instead";
constexpr std::string_view other_way_iptables =
    "the kernel needs the targets NFQUEUE and TCPMSS and the matches policy, mark, addrtype, "
    "multiport, u32, tcpmss, ah and conntrack; or use --nft instead";
constexpr std::string_view needs_fw =
    "the kernel needs the classifier fw (cls_fw), the action gact (act_gact) and clsact";

Result<void> feed(const std::vector<std::string>& argv, const std::string& input,
                  std::string_view hint) {
  CS_TRY(const std::string ignored, run_or_refuse(argv, input, hint));
  return {};
}

// ----- nftables

Result<void> try_nft(const RuleOptions& options) {
  return feed({"nft", "--check", "--file", "-"}, nft_rules(options), other_way_nft);
}

Result<bool> nft_in_place() {
  for (const char* chain : {"outbound", "inbound"}) {
    Result<CommandOutcome> listed =
        run_command({"nft", "list", "chain", "inet", "countersign", chain});
    if (!listed.ok()) {
      if (listed.error().kind() == ErrorKind::not_found) return false;
      return std::move(listed).error();
    }
    if (listed->exit_code == 0) continue;
    if (listed->errors.find("No such file") != std::string::npos) return false;
    return refusal_of("nft", listed->errors, "look at it with: nft list ruleset");
  }
  return true;
}

// ----- iptables

struct IptablesFamily {
  std::string save;
  std::string restore;
};

// A kernel without IPv6 has none to protect.
std::vector<IptablesFamily> families() {
  std::vector<IptablesFamily> all{{"iptables-save", "iptables-restore"}};
  if (access("/proc/net/if_inet6", F_OK) == 0) {
    all.push_back({"ip6tables-save", "ip6tables-restore"});
  }
  return all;
}

// iptables-legacy works in one after the other: -w waits for its turn.
std::vector<std::string> restore_command(const IptablesFamily& family) {
  return {family.restore, "--noflush", "-w", "10"};
}

Result<std::string> saved(const IptablesFamily& family) {
  return run_or_refuse({family.save, "-t", "mangle"}, "", other_way_iptables);
}

Result<void> remove_trial(const IptablesFamily& family) {
  return feed(restore_command(family), iptables_trial_removal(), other_way_iptables);
}

Result<void> try_iptables(const RuleOptions& options) {
  for (const IptablesFamily& family : families()) {
    CS_CHECK(feed(restore_command(family), iptables_trial(options), other_way_iptables));
    CS_CHECK(remove_trial(family));
  }
  return {};
}

Result<void> apply_iptables(const RuleOptions& options) {
  CS_CHECK(try_iptables(options));
  for (const IptablesFamily& family : families()) {
    CS_TRY(const std::string before, saved(family));
    CS_CHECK(feed(restore_command(family), iptables_rules(options, before), other_way_iptables));
  }
  return {};
}

Result<void> remove_iptables() {
  for (const IptablesFamily& family : families()) {
    CS_TRY(const std::string before, saved(family));
    const std::string removal = iptables_removal(before);
    if (removal.empty()) continue;
    CS_CHECK(feed(restore_command(family), removal, "look at it with: iptables-save -t mangle"));
  }
  return {};
}

enum class Families : std::uint8_t { all, any };

Result<bool> iptables_stands(Families wanted) {
  for (const IptablesFamily& family : families()) {
    Result<std::string> now = saved(family);
    if (!now.ok()) {
      if (now.error().kind() == ErrorKind::not_found) return false;
      return std::move(now).error();
    }
    if (iptables_in_place(*now) != (wanted == Families::all)) return wanted == Families::any;
  }
  return wanted == Families::all;
}

// ----- tc

bool exists(const std::string& interface) {
  return if_nametoindex(interface.c_str()) != 0;
}

Result<std::string> egress_filters(const std::string& interface) {
  return run_or_refuse({"tc", "filter", "show", "dev", interface, "egress"}, "", needs_fw);
}

RuleOptions only(const RuleOptions& options, const std::string& interface) {
  RuleOptions one = options;
  one.egress_interfaces = {interface};
  return one;
}

Result<void> try_tc(const RuleOptions& options) {
  if (options.egress_interfaces.empty()) {
    return Error(ErrorKind::invalid, "no interface to guard")
        .with_hint("name each one that leads out of the gateway, with --interface");
  }
  for (const std::string& interface : options.egress_interfaces) {
    if (exists(interface)) continue;
    return Error(ErrorKind::not_found, "there is no interface " + interface)
        .with_hint("ip link shows which there are");
  }
  return feed({"tc", "-V"}, "", needs_fw);
}

Result<void> apply_tc(const RuleOptions& options) {
  CS_CHECK(try_tc(options));
  for (const std::string& interface : options.egress_interfaces) {
    CS_CHECK(feed({"tc", "-batch", "-"}, tc_rules(only(options, interface)), needs_fw)
                 .context("guarding " + interface));
  }
  return {};
}

Result<void> remove_tc(const RuleOptions& options) {
  for (const std::string& interface : options.egress_interfaces) {
    if (!exists(interface)) continue;
    CS_TRY(const std::string shown, egress_filters(interface));
    if (!tc_in_place(options, shown)) continue;
    CS_CHECK(feed({"tc", "-batch", "-"}, tc_removal(only(options, interface)), needs_fw)
                 .context("releasing " + interface));
  }
  return {};
}

Result<bool> tc_stands(const RuleOptions& options) {
  for (const std::string& interface : options.egress_interfaces) {
    if (!exists(interface)) return false;
    CS_TRY(const std::string shown, egress_filters(interface));
    if (!tc_in_place(options, shown)) return false;
  }
  return !options.egress_interfaces.empty();
}

// Two ways of steering at once would queue each packet twice.
Result<void> check_alone(RuleKind kind) {
  if (kind == RuleKind::tc) return {};
  const RuleKind other = kind == RuleKind::nft ? RuleKind::iptables : RuleKind::nft;
  CS_TRY(const bool stands,
         other == RuleKind::nft ? nft_in_place() : iptables_stands(Families::any));
  if (!stands) return {};
  const std::string name(to_string(other));
  return Error(ErrorKind::exists, "the rules are there already by " + name)
      .with_hint("remove those first: nfq-signer rules --" + name + " --remove");
}

}  // namespace

Result<void> try_rules(RuleKind kind, const RuleOptions& options) {
  CS_CHECK(check_rules(options));
  switch (kind) {
    case RuleKind::nft:
      return try_nft(options);
    case RuleKind::iptables:
      return try_iptables(options);
    case RuleKind::tc:
      return try_tc(options);
  }
  return Error(ErrorKind::internal, "no such kind of rules");
}

Result<void> apply_rules(RuleKind kind, const RuleOptions& options) {
  CS_CHECK(check_rules(options));
  CS_CHECK(check_alone(kind));
  switch (kind) {
    case RuleKind::nft:
      return feed({"nft", "--file", "-"}, nft_rules(options), other_way_nft);
    case RuleKind::iptables:
      return apply_iptables(options);
    case RuleKind::tc:
      return apply_tc(options);
  }
  return Error(ErrorKind::internal, "no such kind of rules");
}

Result<void> remove_rules(RuleKind kind, const RuleOptions& options) {
  CS_CHECK(check_rules(options));
  switch (kind) {
    case RuleKind::nft:
      return feed({"nft", "--file", "-"}, nft_removal(), "run as root");
    case RuleKind::iptables:
      return remove_iptables();
    case RuleKind::tc:
      return remove_tc(options);
  }
  return Error(ErrorKind::internal, "no such kind of rules");
}

Result<bool> rules_in_place(RuleKind kind, const RuleOptions& options) {
  CS_CHECK(check_rules(options));
  switch (kind) {
    case RuleKind::nft:
      return nft_in_place();
    case RuleKind::iptables:
      return iptables_stands(Families::all);
    case RuleKind::tc:
      return tc_stands(options);
  }
  return Error(ErrorKind::internal, "no such kind of rules");
}

}  // namespace cs
