// SPDX-License-Identifier: GPL-3.0-or-later
// Takes the SAs of a denied pair away. Where the IKE daemon answers for them it is told to end the
// IKE SAs with that peer, so that both ends know, and new ones are negotiated when they are wanted.
// What nobody answers for, and what is still there a little later, is deleted in the kernel.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "xfrm/netlink/socket.h"
#include "xfrm/state/model.h"

namespace cs::keyms {

class SaRemoval {
 public:
  // Without an IKE daemon (empty), all are deleted in the kernel.
  SaRemoval(std::string vici_socket, netlink::Socket socket, const Clock& clock,
            std::function<void(const Error&)> trouble);

  // Done by run(), at once.
  void begin(std::vector<xfrm::Address> peer, std::vector<xfrm::SaId> sas);
  [[nodiscard]] std::optional<BootTime> deadline() const noexcept;
  // Takes half a second at most, even if the IKE daemon does not answer.
  void run();

 private:
  struct Pending {
    std::vector<xfrm::Address> peer;
    std::vector<xfrm::SaId> sas;
    bool told = false;  // the IKE daemon
    BootTime next;
  };

  // Tells it, and leaves to it those that it answers for.
  [[nodiscard]] Result<std::vector<xfrm::SaId>> tell_ike_daemon(const Pending& pending) const;
  // Returns whether none is left.
  bool delete_some(std::vector<xfrm::SaId>& sas);

  std::string vici_socket_;
  netlink::Socket socket_;
  const Clock* clock_;
  std::function<void(const Error&)> trouble_;
  std::vector<Pending> pending_;
};

}  // namespace cs::keyms
