// SPDX-License-Identifier: GPL-3.0-or-later
// What AVX-512 does side by side for batches: SHA-256 of single blocks, and SipHash. Whoever calls
// asks first whether the processor has it, and knows a narrow way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace cs::wide {

[[nodiscard]] bool is_there() noexcept;

inline constexpr std::size_t hashes = 16;
// SHA-256 of messages that are one block with their padding. Each of `blocks` has 64 bytes, each of
// `out` takes 32.
void sha256(const std::array<const std::uint8_t*, hashes>& blocks,
            const std::array<std::uint8_t*, hashes>& out) noexcept;

inline constexpr std::size_t tags = 8;
// Bytes a message of `size` needs with its padding.
[[nodiscard]] constexpr std::size_t padded_for_siphash(std::size_t size) noexcept {
  return size / 64 * 64 + 64;
}
// SipHash-2-4 of messages of one size. Each of `messages` has room for the padding, which this
// writes; each of `keys` has 16 bytes, each of `out` takes 8.
void siphash24(const std::array<std::uint8_t*, tags>& messages, std::size_t size,
               const std::array<const std::uint8_t*, tags>& keys,
               const std::array<std::uint8_t*, tags>& out) noexcept;

}  // namespace cs::wide
