// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/core_policy.h"

namespace cs::keyms {
namespace {

void advise(const Gateway& gateway, std::vector<std::string>& out) {
  const auto say = [&](const char* what) { out.push_back(gateway.ne_id + ": " + what); };
  if (gateway.proof == Proof::optional) {
    say("nobody proves that its attestation key is in a TPM; each verdict says \"TPM unproven\"");
  }
  bool judged = false;
  for (const BootRule& rule : gateway.boot) judged = judged || !rule.accepted.empty();
  if (!judged) say("no boot PCR has to have a certain value: any firmware and kernel will do");
  if (!gateway.ima) say("IMA is not asked for: any program may run on it");
  if (gateway.ima && gateway.ima->list_keys.empty()) say("IMA's list is judged by nobody");
  if (gateway.resettable) say("root may reset a register, and with it the memory of drift");
}

void advise(const xfrm::Tunnel& tunnel, std::vector<std::string>& out) {
  const auto say = [&](const char* what) { out.push_back("tunnel " + tunnel.name + ": " + what); };
  if (tunnel.inbound_mark.mask == 0) {
    say("inbound SAs have no mark, so that only rules keep unverified packets from them");
  }
  if (tunnel.output_mark.mask == 0) {
    say("outbound SAs have no output mark, so that only rules keep unsigned packets back");
  }
  if (tunnel.most_seconds == 0) say("its SAs may last for ever");
}

}  // namespace

std::vector<std::string> advice(const CorePolicy& policy) {
  std::vector<std::string> out;
  for (const Gateway& gateway : policy.gateways) advise(gateway, out);
  for (const xfrm::Tunnel& tunnel : policy.agreement.tunnels) advise(tunnel, out);
  for (const xfrm::Bypass& bypass : policy.agreement.bypasses) {
    out.push_back("bypass " + bypass.name + ": its traffic goes in clear");
  }
  if (policy.signing.inbound != Mode::enforce) {
    out.emplace_back("signing: packets that do not verify are accepted");
  }
  if (policy.attestation.on_failure != OnFailure::cut) {
    out.emplace_back("attestation: traffic goes on with a gateway that fails to attest");
  }
  return out;
}

}  // namespace cs::keyms
