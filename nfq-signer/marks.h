// SPDX-License-Identifier: GPL-3.0-or-later
// What a packet's mark says to the kernel: whether it was verified, has to be signed, is signed.
// The engine's verdicts and the rules that ask for them have to agree.
#pragma once

#include <cstdint>

namespace cs {

// Bits of the packet mark that are ours; all others stay as they are.
struct Marks {
  std::uint32_t inbound_mark = 0x10000;  // verified: what the verifier's verdict writes
  std::uint32_t inbound_mask = 0x10000;
  std::uint32_t outbound_mark = 0x20000;  // to be signed: the output mark of outbound SAs
  std::uint32_t outbound_mask = 0x30000;
  std::uint32_t signed_mark = 0x30000;  // what the signer's verdict writes, under outbound_mask

  // The whole mark a verdict has to carry (NFQA_MARK replaces all 32 bits).
  [[nodiscard]] constexpr std::uint32_t verified(std::uint32_t before) const noexcept {
    return (before & ~inbound_mask) | inbound_mark;
  }
  [[nodiscard]] constexpr std::uint32_t after_signing(std::uint32_t before) const noexcept {
    return (before & ~outbound_mask) | signed_mark;
  }
};

}  // namespace cs
