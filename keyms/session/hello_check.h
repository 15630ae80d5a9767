// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a hello is from a gateway we share a policy with, over the connection it came by. The
// network worker asks before it troubles keymsd with a channel; keymsd asks again, because it does
// not take the worker's word.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "base/clock.h"
#include "keyms/session/hello.h"
#include "tpm/evidence/structures.h"

namespace cs::keyms {

// In the order in which they are looked for; what costs most comes last.
enum class HelloFault : std::uint8_t {
  role,      // an initiator's where a responder's should be, or the reverse
  receiver,  // it is for another gateway
  sender,    // it is from another gateway
  core_properties,
  ak_public,  // no attestation key: check_attestation_key() of tpm/evidence/key_check.h
  ak_name,
  statement,  // cannot be read, or is of another gateway
  statement_certificate,
  statement_dates,
  statement_signature,
};

struct HelloExpectations {
  Role role = Role::initiator;  // of the sender
  std::string_view self;        // our NeID
  std::string_view peer;        // the sender's
  // Any of them will do.
  std::span<const std::array<std::uint8_t, 32>> core_properties;
  // None: whatever key it names, it must have signed with.
  const tpm::Name* attestation_key = nullptr;
  std::array<std::uint8_t, 32> certificate{};  // SHA-256 of the sender's, by which the channel is
  WallTime now;
};

// The first fault; none: it holds.
[[nodiscard]] std::optional<HelloFault> find_fault(const SessionHello& hello,
                                                   const HelloExpectations& expected);

}  // namespace cs::keyms
