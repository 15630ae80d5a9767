// SPDX-License-Identifier: GPL-3.0-or-later
// This gateway's endpoint: a key and a certificate for TLS, made here, told in the event log and
// signed over by the attestation key; made anew ahead of its end, and the old one revoked.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "keyms/carrier/endpoint.h"
#include "keyms/daemon/machine.h"
#include "keyms/daemon/pair.h"
#include "keyms/daemon/tpm_desk.h"
#include "keyms/schedule/clock_guard.h"
#include "keyms/schedule/life.h"
#include "keyms/schedule/renewal.h"

namespace cs::keyms {

class EndpointKeeper final : public LoopPart {
 public:
  // So long the old one is still good when the new one comes.
  static constexpr std::chrono::seconds overlap{60};

  struct Hooks {
    std::function<void()> made;
    std::function<void(const Error&)> trouble;
  };
  // All must outlive it.
  EndpointKeeper(const Clock& clock, const ClockGuard& guard, TpmDesk& desk, Machine& machine,
                 Hooks hooks);

  // `lifetime`: the shortest that a policy allows. What is there is made anew if it is longer.
  void keep(const std::string& ne_id, Bytes ak_public, std::chrono::seconds lifetime);
  // The registers have begun anew, and do not know it.
  void make_anew() { due_ = clock_->boot(); }

  [[nodiscard]] bool is_made() const noexcept { return current_.has_value(); }
  // For the network worker.
  [[nodiscard]] Result<carrier::OwnEndpoint> own() const;
  // For a channel made with this certificate; none: the channel has none of ours.
  [[nodiscard]] Result<PairHost::Endpoint> of(const std::optional<Hash>& certificate) const;

  struct View {
    Hash certificate{};
    WallTime not_before;
    WallTime not_after;
    std::optional<WallTime> renewed_at;
  };
  [[nodiscard]] std::optional<View> view() const;

  void wait(Waits& waits) const override;
  Result<void> run() override;

 private:
  struct Made {
    carrier::OwnEndpoint endpoint;
    carrier::Validity validity;
    EndpointStatement statement;
    Life life;
    Signed signature;
  };
  void make();
  void stated(const std::shared_ptr<Made>& made, Result<Signed> signature);
  void failed(const Error& why);
  void revoke_former();

  const Clock* clock_;
  const ClockGuard* guard_;
  TpmDesk* desk_;
  Machine* machine_;
  Hooks hooks_;
  std::string ne_id_;
  Bytes ak_public_;
  std::chrono::seconds lifetime_{0};
  std::optional<Made> current_;
  std::optional<Renewal> renewal_;
  std::optional<BootTime> due_;
  std::optional<BootTime> revoke_at_;
  bool making_ = false;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace cs::keyms
