// SPDX-License-Identifier: GPL-3.0-or-later
// What the parts of the attestation session share.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "keyms/hash.h"

namespace cs::keyms {

using Bytes = std::vector<std::uint8_t>;
using Nonce = std::array<std::uint8_t, 32>;
using Share = std::array<std::uint8_t, 65>;  // a point of P-256, uncompressed

enum class Role : std::uint8_t { initiator = 1, responder = 2 };
[[nodiscard]] constexpr Role other(Role role) noexcept {
  return role == Role::initiator ? Role::responder : Role::initiator;
}
// Into what is kept by sender: [0] the initiator's, [1] the responder's.
[[nodiscard]] constexpr std::size_t index(Role role) noexcept {
  return role == Role::initiator ? 0 : 1;
}

inline constexpr std::size_t max_session_message = 32768;

// What somebody else says of the sender. Kinds are given out by docs/PROTOCOL.md; who does not know
// one leaves it aside.
struct Voucher {
  std::uint64_t kind = 0;
  Bytes bytes;
  bool operator==(const Voucher&) const = default;
};
inline constexpr std::size_t max_vouchers = 4;
inline constexpr std::size_t max_voucher = 6144;

}  // namespace cs::keyms
