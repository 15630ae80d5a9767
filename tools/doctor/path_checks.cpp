// SPDX-License-Identifier: GPL-3.0-or-later
// Whether the tunnels that nfq-signer is configured for have room for its signatures.
#include "nfq-signer/config.h"
#include "nfq-signer/tunnel.h"
#include "tools/doctor/checks.h"
#include "tools/doctor/words.h"

namespace cs::doctor {

namespace {

constexpr std::string_view configuration = "/etc/countersign/nfq-signer.toml";

Result<mtu::Plan> plan_for(const Machine& machine, const Config& config,
                           const mtu::Tunnel& tunnel) {
  CS_TRY(const std::uint32_t path, machine.path_mtu(tunnel.peer));
  return mtu::plan(mtu::question_for(tunnel, config.mtu_policy, config.max_batch, path));
}

}  // namespace

Finding look_at_paths(const Machine& machine) {
  if (!machine.has(configuration))
    return good("none are configured: no " + std::string(configuration));
  const auto config = read_config(machine.path(configuration));
  if (!config.ok()) {
    return {Verdict::warning,
            config.error().message(),
            {},
            "man nfq-signer; it does not start like this"};
  }
  std::string reason;
  for (const mtu::Tunnel& tunnel : config->tunnels) {
    const auto plan = plan_for(machine, *config, tunnel);
    if (!plan.ok()) add(reason, tunnel.peer.text() + ": " + plan.error().message());
  }
  if (!reason.empty()) return {Verdict::warning, reason};
  return good(std::to_string(config->tunnels.size()) + " configured, with room for the signature");
}

}  // namespace cs::doctor
