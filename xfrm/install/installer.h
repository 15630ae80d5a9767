// SPDX-License-Identifier: GPL-3.0-or-later
// Puts tunnels with keys of our own into the kernel, and takes out what it put there and nothing
// else. The kernel has no transactions; what stands for them is the order, and a file that knows
// every policy and SA before the kernel has it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "xfrm/install/install_memory.h"
#include "xfrm/install/request.h"
#include "xfrm/netlink/socket.h"

namespace cs::xfrm {

// All that belongs to one name. A policy's index is ours to choose, whatever it says.
struct TunnelSet {
  std::vector<Policy> policies;
  std::vector<SaWithKeys> sas;  // to be made
  std::vector<SaId> kept;       // there already, by an earlier set of this name; they stay
};

class Installer {
 public:
  // For the network namespace of the (NETLINK_XFRM) socket, to which the file then belongs. The
  // file's directory must be there, and nobody else may write to it. One object at a time has it;
  // for another this fails with `busy`. What a killed predecessor put is ours again.
  static Result<Installer> open(netlink::Socket socket, std::string state_file);

  // Makes `name` exactly this set: new SAs, then policies, each in the place of its predecessor at
  // once, so that no packet meets neither; then what the name had besides goes, SAs first. Keys are
  // wiped before it returns. If the kernel refuses anything, all is as it was before, and the error
  // names it. Never touches what is not ours: `exists` if that is in the way.
  //
  // An SA is never installed twice, as its packets' numbers, and an AEAD's nonces, would begin
  // anew: an SA that is there is `kept`, or another one gets another SPI and other keys. To change
  // keys without losing a packet: both gateways add the new inbound SA, then the new outbound one,
  // then leave out the old ones.
  Result<void> replace(const std::string& name, TunnelSet set);

  // All of the name, if there is any. Its packets go in clear then, if nothing else stops them.
  Result<void> remove(const std::string& name) { return replace(name, {}); }

  // The SAs of the name that the kernel has.
  Result<std::vector<SaId>> sas(const std::string& name);
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  struct Present {  // a policy of ours that the kernel has
    PolicyId id;
    Policy policy;
    std::vector<std::uint8_t> payload;  // as the kernel tells it, to be put back
  };
  struct Step {  // a policy to be put
    Policy policy;
    const Present* before = nullptr;
  };
  struct Change {
    std::vector<Present> present;
    std::vector<Step> steps;
    Owned before, during, after;
  };

  Installer(netlink::Socket socket, std::string state_file, UniqueFd held, InstallMemory memory)
      : socket_(std::move(socket)),
        state_file_(std::move(state_file)),
        held_(std::move(held)),
        memory_(std::move(memory)) {}

  Result<Change> plan(const std::string& name, const TunnelSet& set);
  Result<void> plan_sas(const TunnelSet& set, Change& change) const;
  static Result<void> plan_policies(const TunnelSet& set, Change& change);
  Result<void> put(const Change& change, const TunnelSet& set);
  Result<void> undo(const Change& change, const TunnelSet& set);
  Result<void> clear(const Change& change);
  Result<void> remember(const std::string& name, const Owned& owned);

  Result<std::optional<Present>> find(const PolicyId& id);
  Result<bool> has_ours(const SaId& id);
  Result<void> take_out(const PolicyId& id);
  Result<void> take_out(const SaId& id);

  netlink::Socket socket_;
  std::string state_file_;
  UniqueFd held_;  // the file's directory, locked
  InstallMemory memory_;
};

// What blocks all packets of these policies, besides them and before them: for a peer that was
// denied, as a name's set of its own. Where a policy for just the same packets can be there only
// once, two halves of the marks are blocked. `unsupported` for a policy that looks at all bits of
// the mark.
Result<std::vector<Policy>> block_policies(std::span<const Policy> policies);

}  // namespace cs::xfrm
