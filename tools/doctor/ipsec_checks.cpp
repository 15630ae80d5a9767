// SPDX-License-Identifier: GPL-3.0-or-later
// Whether the kernel does IPsec, and nothing turns it off.
#include <array>
#include <cerrno>

#include "tools/doctor/checks.h"
#include "tools/doctor/words.h"
#include "xfrm/state/kernel.h"

namespace cs::doctor {

namespace {

// Algorithms are looked for before the protocol is.
bool lacks_algorithm(const Result<void>& answer) {
  return !answer.ok() &&
         (answer.error().os_error() == ENOSYS || answer.error().os_error() == ENOENT);
}

bool lacks_protocol(const Result<void>& answer) {
  return !answer.ok() && (answer.error().os_error() == EPROTONOSUPPORT ||
                          answer.error().os_error() == EAFNOSUPPORT);
}

bool has_ipv6(const Machine& machine) {
  return machine.has("/proc/net/if_inet6");
}

struct Protocol {
  std::array<SaKind, 2> kinds;  // any of them shows it
  bool ipv6;
  std::string module;
  std::string_view option;
  Verdict without;
};

Finding look_at(const Machine& machine, const Protocol& protocol) {
  if (protocol.ipv6 && !has_ipv6(machine)) return good("not needed: this kernel has no IPv6");
  for (const SaKind kind : protocol.kinds) {
    const auto answer = machine.try_sa({kind, protocol.ipv6});
    if (answer.ok()) return good("the kernel takes an SA");
    if (lacks_algorithm(answer)) continue;
    if (!lacks_protocol(answer)) return refused(answer.error());
    Finding found =
        without_module(machine, "the kernel does not have it: " + answer.error().message(),
                       protocol.module, protocol.option);
    found.verdict = protocol.without;
    return found;
  }
  return {Verdict::unchecked,
          "the kernel has none of the algorithms to ask with",
          {},
          "mend what the check algorithms says, and ask again"};
}

std::string keep_out(const std::string& module) {
  return "echo install " + module + " /bin/false > /etc/modprobe.d/countersign-" + module + ".conf";
}

std::string_view word(xfrm::Action action) {
  return action == xfrm::Action::block ? "block" : "accept";
}

}  // namespace

Finding look_at_xfrm(const Machine& machine) {
  const auto answer = machine.read_defaults();
  if (answer.ok()) return good("the kernel answers");
  if (answer.error().kind() != ErrorKind::unsupported) return refused(answer.error());
  return without_module(machine, answer.error().message(), "xfrm_user", "CONFIG_XFRM_USER");
}

Finding look_at_esp(const Machine& machine) {
  return look_at(
      machine,
      {{SaKind::esp_gcm, SaKind::esp_cbc_sha256}, false, "esp4", "CONFIG_INET_ESP", Verdict::bad});
}

Finding look_at_esp_ipv6(const Machine& machine) {
  return look_at(
      machine,
      {{SaKind::esp_gcm, SaKind::esp_cbc_sha256}, true, "esp6", "CONFIG_INET6_ESP", Verdict::bad});
}

Finding look_at_ah(const Machine& machine) {
  return look_at(
      machine,
      {{SaKind::ah_sha256, SaKind::ah_sha256}, false, "ah4", "CONFIG_INET_AH", Verdict::warning});
}

Finding look_at_ah_ipv6(const Machine& machine) {
  return look_at(
      machine,
      {{SaKind::ah_sha256, SaKind::ah_sha256}, true, "ah6", "CONFIG_INET6_AH", Verdict::warning});
}

Finding look_at_algorithms(const Machine& machine) {
  const auto gcm = machine.try_sa({SaKind::esp_gcm, false});
  const auto cbc = machine.try_sa({SaKind::esp_cbc_sha256, false});
  // Any other refusal came after the algorithms were found, and is another check's.
  if (!gcm.ok() && gcm.error().kind() == ErrorKind::denied) return unchecked(gcm.error());
  if (!lacks_algorithm(gcm) && !lacks_algorithm(cbc)) {
    return good("AES-GCM, and AES-CBC with HMAC-SHA-256");
  }
  Finding found = lacks_algorithm(gcm)
                      ? without_module(machine, "the kernel has no AES-GCM", "gcm",
                                       "CONFIG_CRYPTO_GCM and CONFIG_CRYPTO_SEQIV")
                      : without_module(machine, "the kernel has no AES-CBC with HMAC-SHA-256",
                                       "authenc", "CONFIG_CRYPTO_AUTHENC, CBC and HMAC");
  const bool none = lacks_algorithm(gcm) && lacks_algorithm(cbc);
  found.verdict = none ? Verdict::bad : Verdict::warning;
  if (none) found.reason += ", nor AES-CBC with HMAC-SHA-256";
  return found;
}

Finding look_at_default_policy(const Machine& machine) {
  const auto answer = machine.read_defaults();
  if (!answer.ok()) return unchecked(answer.error());
  const xfrm::Defaults defaults = answer->value_or(xfrm::Defaults());
  if (defaults == xfrm::Defaults()) return good("what fits no policy passes, as usual");
  return {Verdict::warning,
          "what fits no policy is dropped (in " + std::string(word(defaults.in)) + ", forward " +
              std::string(word(defaults.forward)) + ", out " + std::string(word(defaults.out)) +
              "): attestation, ssh and all else need policies that allow them",
          "ip xfrm policy setdefault in accept fwd accept out accept"};
}

Finding look_at_switches(const Machine& machine) {
  const auto interfaces = xfrm::read_switches(machine.root);
  if (!interfaces.ok()) return unchecked(interfaces.error());
  std::string reason;
  std::string command;
  const auto tell = [&](const std::string& name, bool on, std::string_view family,
                        std::string_view option, std::string_view harm) {
    if (!on) return;
    const std::string file =
        "/proc/sys/net/" + std::string(family) + "/conf/" + name + "/" + std::string(option);
    add(reason, file + " is 1: " + std::string(harm));
    add(command, "echo 0 > " + shell_word(file));
  };
  for (const xfrm::InterfaceSwitches& interface : *interfaces) {
    if (interface.name == "lo") continue;  // the kernel's own setting: no IPsec with oneself
    tell(interface.name, interface.disable_xfrm, "ipv4", "disable_xfrm", "packets leave in clear");
    tell(interface.name, interface.disable_policy, "ipv4", "disable_policy",
         "packets in clear are taken");
    tell(interface.name, interface.disable_policy_ipv6, "ipv6", "disable_policy",
         "packets in clear are taken");
  }
  if (reason.empty()) return good("no interface is exempt from IPsec");
  return {Verdict::bad, reason, command,
          "look in /etc/sysctl.conf and /etc/sysctl.d for who sets it"};
}

Finding look_at_offload(const Machine& machine) {
  const auto offloads = machine.find_offloads();
  if (!offloads.ok()) return unchecked(offloads.error());
  if (offloads->empty()) return good("nothing takes IPsec packets past the queue");
  Finding found{Verdict::bad, {}};
  std::string modules;
  for (const OffloadFinding& offload : *offloads) {
    add(found.reason, offload.words);
    const std::string name = shell_word(offload.subject);
    if (offload.kind == OffloadFinding::Kind::module) {
      modules += " " + name;
      add(found.command, keep_out(name));
    } else {
      const bool is_command = offload.cure.starts_with("ethtool ");
      add(is_command ? found.command : found.advice, offload.cure);
    }
  }
  if (modules.empty()) return found;
  // It goes only when no SA uses it.
  found.command = "ip xfrm state flush; modprobe -r" + modules + "; " + found.command;
  add(found.advice,
      "the command ends all SAs: let the IKE daemon make them anew, swanctl --terminate --ike '*'");
  return found;
}

}  // namespace cs::doctor
