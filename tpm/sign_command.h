// SPDX-License-Identifier: GPL-3.0-or-later
// TPM2_Sign under a policy, marshalled here: ESYS takes 1.5 ms of CPU for each command that a
// session authorises, several times what the signature itself takes.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/result.h"

namespace cs::tpm {

struct SignCommand {
  std::uint32_t key = 0;      // handles are the TPM's own numbers
  std::uint32_t session = 0;  // neither salted nor bound, and its policy demands no auth value
  std::span<const std::uint8_t, 32> digest;
};
// ECDSA with SHA-256, authorised by the session alone, which goes on.
[[nodiscard]] std::array<std::uint8_t, 73> sign_command(const SignCommand& command);

// r and s, 32 bytes each, big-endian, s at most half of the order.
using EcdsaSignature = std::array<std::uint8_t, 64>;

// The answer of a TPM that did it, with the header that states its size. Refused: anything but an
// ECDSA signature with SHA-256 whose r and s are between 1 and the order, in a session that goes
// on.
[[nodiscard]] Result<EcdsaSignature> read_sign_answer(ByteView answer);
}  // namespace cs::tpm
