// SPDX-License-Identifier: GPL-3.0-or-later
// What two gateways tell each other once a run has granted: docs/PROTOCOL.md, "The attestation
// session". Keys and order of these messages; what they mean is for others. For one channel.
#pragma once

#include <memory>
#include <optional>

#include "base/clock.h"
#include "keyms/session/key_schedule.h"
#include "keyms/session/messages.h"

namespace cs::keyms {

class Link {
 public:
  // The clock must outlive it.
  Link(const Clock& clock, Role role) : clock_(&clock), role_(role) {}

  // A run has granted. The initiator sends under the new keys from here on, and begins with ready;
  // the responder from the peer's first message under them on.
  void open_epoch(KeyPair keys);
  // How many runs of this channel have granted.
  [[nodiscard]] std::uint32_t epoch() const noexcept { return epochs_; }
  [[nodiscard]] bool is_open() const noexcept { return sending_.has_value(); }

  // `closed` before the first epoch can be sent under.
  [[nodiscard]] Result<Bytes> seal(const Sealed& message);
  // What is not the next message of an epoch that counts ends the channel: an error says why.
  [[nodiscard]] Result<Sealed> open(const Envelope& envelope);

  // Of the last message that was authentic; of the last that was sealed.
  [[nodiscard]] std::optional<BootTime> heard() const noexcept { return heard_; }
  [[nodiscard]] std::optional<BootTime> said() const noexcept { return said_; }

 private:
  struct Epoch {
    std::uint32_t number = 0;
    std::shared_ptr<const KeyPair> keys;
    std::uint64_t messages = 0;  // in this direction
  };

  const Clock* clock_;
  Role role_;
  std::uint32_t epochs_ = 0;
  std::optional<Epoch> sending_;
  std::optional<Epoch> receiving_;
  std::optional<Epoch> next_;  // to be received, from its first message on
  std::optional<BootTime> heard_;
  std::optional<BootTime> said_;
};

}  // namespace cs::keyms
