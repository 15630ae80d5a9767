// SPDX-License-Identifier: GPL-3.0-or-later
// The gate as it is to stand for each peer, and the holder that keeps packets of SAs until they are
// agreed on. What the kernel lost, or did not take, is put there again within a second; until then
// more is closed than need be.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "xfrm/gate/gate.h"
#include "xfrm/gate/holder.h"

namespace cs::keyms {

class GateKeeper {
 public:
  using Trouble = std::function<void(const Error&)>;

  // Closed to all, whatever was open before: nobody is attested yet. Of the calling thread's
  // network namespace. Without a holder (somebody else has its queue), which is told, what nobody
  // has admitted is dropped at once.
  static Result<std::unique_ptr<GateKeeper>> set_up(xfrm::GateConfig config,
                                                    std::optional<xfrm::GateKind> kind,
                                                    const Clock& clock, Trouble trouble);

  // Other peers, of whom those that stay keep what they have. On failure nothing has changed.
  Result<void> change(std::vector<xfrm::GatePeer> peers);

  // Opens to what will be admitted. Whatever fails from here on is told, and tried again.
  void open(const std::string& peer);
  void close(const std::string& peer);
  // Of a peer that is open.
  void admit(const std::string& peer, const std::vector<xfrm::Passage>& passages);
  void withdraw(const std::string& peer, const std::vector<xfrm::Passage>& passages);

  // Readable, or past the deadline: call run().
  [[nodiscard]] int fd() const noexcept { return holder_ ? holder_->fd() : -1; }
  [[nodiscard]] BootTime deadline() const noexcept;
  void run();

  [[nodiscard]] xfrm::GateKind kind() const noexcept { return gate_.kind(); }
  [[nodiscard]] Result<xfrm::GateView> look() const { return gate_.look(); }
  // SAs of which packets wait.
  [[nodiscard]] std::vector<xfrm::SaName> waiting() const;
  [[nodiscard]] xfrm::Holder::Counters held() const noexcept;
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }  // times it was put back

 private:
  GateKeeper(xfrm::Gate gate, xfrm::GateConfig config, const Clock& clock, Trouble trouble);

  void open_holder();
  void check(const Result<void>& done);
  void keep();
  xfrm::GateGrant* grant_of(const std::string& peer) noexcept;
  void release(const std::vector<xfrm::Passage>& passages);

  xfrm::Gate gate_;
  xfrm::GateConfig config_;
  const Clock* clock_;
  Trouble trouble_;
  std::optional<xfrm::Holder> holder_;
  std::vector<xfrm::GateGrant> granted_;  // of open peers
  bool doubtful_ = false;                 // the kernel may not have it so
  std::uint64_t lost_ = 0;
  BootTime next_keep_;
};

}  // namespace cs::keyms
