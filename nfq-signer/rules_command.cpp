// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/rules_command.h"

#include <ostream>
#include <string>

namespace cs {
namespace {

using Kind = RulesRequest::Kind;
using Action = RulesRequest::Action;

Result<RuleKind> rule_kind(Kind kind) {
  switch (kind) {
    case Kind::nft:
      return RuleKind::nft;
    case Kind::iptables:
      return RuleKind::iptables;
    case Kind::tc:
      return RuleKind::tc;
    case Kind::none:
    case Kind::swanctl:
      break;
  }
  return Error(ErrorKind::invalid, "--apply, --remove and --check want --nft, --iptables or --tc");
}

// Of iptables, what there is to remove depends on what is there; this is after our own --apply.
std::string removal_text(RuleKind kind, const RuleOptions& options) {
  switch (kind) {
    case RuleKind::nft:
      return nft_removal();
    case RuleKind::iptables:
      return iptables_removal(iptables_rules(options));
    case RuleKind::tc:
      return tc_removal(options);
  }
  return {};
}

std::string text_of(Kind kind, const RuleOptions& options) {
  switch (kind) {
    case Kind::nft:
      return nft_rules(options);
    case Kind::iptables:
      return iptables_rules(options);
    case Kind::tc:
      return tc_rules(options);
    case Kind::swanctl:
      return swanctl_settings(options);
    case Kind::none:
      break;
  }
  return {};
}

void survey(const RuleOptions& options, std::ostream& out) {
  for (const RuleKind kind : all_rule_kinds) {
    const Result<void> can = try_rules(kind, options);
    const Result<bool> stands = rules_in_place(kind, options);
    out << to_string(kind) << ": " << (can.ok() ? "works here" : can.error().message())
        << (stands.ok() && *stands ? "; in place" : "; not in place") << '\n';
  }
}

Result<void> print(const RulesRequest& request, std::ostream& out) {
  CS_CHECK(check_rules(request.options));
  if (request.kind == Kind::tc && request.options.egress_interfaces.empty()) {
    return Error(ErrorKind::invalid, "no interface to guard")
        .with_hint("name each one that leads out of the gateway, with --interface");
  }
  if (request.action == Action::print) {
    out << text_of(request.kind, request.options);
    return {};
  }
  CS_TRY(const RuleKind kind, rule_kind(request.kind));
  out << removal_text(kind, request.options);
  return {};
}

Result<void> change(const RulesRequest& request, std::ostream& out) {
  CS_TRY(const RuleKind kind, rule_kind(request.kind));
  const std::string name(to_string(kind));
  if (request.action == Action::apply) {
    CS_CHECK(apply_rules(kind, request.options).context("applying the " + name + " rules"));
    out << name << ": in place\n";
    return {};
  }
  if (request.action == Action::remove) {
    CS_CHECK(remove_rules(kind, request.options).context("removing the " + name + " rules"));
    out << name << ": removed\n";
    return {};
  }
  CS_TRY(const bool stands, rules_in_place(kind, request.options));
  if (!stands) {
    return Error(ErrorKind::not_found, "the " + name + " rules are not in place")
        .with_hint("apply them with: nfq-signer rules --" + name + " --apply");
  }
  out << name << ": in place\n";
  return {};
}

}  // namespace

Result<void> run_rules(const RulesRequest& request, std::ostream& out) {
  if (request.action != Action::print && request.action != Action::print_removal) {
    return change(request, out);
  }
  if (request.kind != Kind::none) return print(request, out);
  CS_CHECK(check_rules(request.options));
  survey(request.options, out);
  return {};
}

}  // namespace cs
