// SPDX-License-Identifier: GPL-3.0-or-later
// What all core policies in force want of this gateway's kernel, as one agreement in which it is
// the left end; and back, from what is found to the pair that it concerns. A pair is named by the
// NeID of its other gateway, the peer.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "keyms/policy/core_policy.h"
#include "xfrm/agreement/difference.h"
#include "xfrm/agreement/expected.h"
#include "xfrm/gate/gate.h"

namespace cs::keyms {

class Agreements {
 public:
  // Of policies that validate, in ascending order of their peers. Refused: none at all, one that is
  // not `us`'s, two with one peer, what the gate cannot know (a peer without an address, an address
  // of two peers), tunnels that are too many together.
  static Result<Agreements> join(const std::vector<CorePolicy>& policies, const std::string& us);

  // Its tunnels and bypasses are called "hamburg-1/lan", as they are in each Difference.
  [[nodiscard]] const xfrm::Expected& expected() const noexcept { return expected_; }
  // With all addresses that their tunnels end at.
  [[nodiscard]] const std::vector<xfrm::GatePeer>& peers() const noexcept { return peers_; }
  // Of which pair a tunnel of this name is; nullopt: of none, so it concerns all.
  [[nodiscard]] std::optional<std::string> peer_of(std::string_view tunnel) const;
  // Whose address it is; nullptr: nobody's.
  [[nodiscard]] const std::string* peer_at(const net::Address& address) const noexcept;

 private:
  Agreements() = default;
  Result<void> add(const CorePolicy& policy, xfrm::End us, xfrm::Agreement& joined);

  using Place = std::pair<bool, std::array<std::uint8_t, 16>>;

  xfrm::Expected expected_;
  std::vector<xfrm::GatePeer> peers_;
  std::map<Place, std::string> at_;
};

}  // namespace cs::keyms
