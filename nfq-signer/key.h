// SPDX-License-Identifier: GPL-3.0-or-later
// What both ends hold for one key and one direction: the key record of docs/WIRE.md.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"
#include "nfq-signer/extension.h"
#include "nfq-signer/hash.h"

namespace cs {

using SessionId = std::array<std::uint8_t, 32>;

// The part that is under every signature and in every prefix.
struct KeyScope {
  SessionId session{};
  Digest pcr_digest{};
  std::uint32_t key = 0;
  std::uint8_t direction = 0;  // 0: from the session's initiator; 1: towards it
  Suite suite = Suite::p256_node16;

  [[nodiscard]] std::uint32_t pcr_tag() const noexcept {
    return load<std::endian::big, std::uint32_t>(ByteView(pcr_digest).first<4>());
  }
};

// Inclusive at both ends.
struct LaneRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  [[nodiscard]] bool contains(std::uint16_t lane) const noexcept {
    return first <= lane && lane <= last;
  }
  // Only if it does not end before it begins.
  [[nodiscard]] std::size_t size() const noexcept { return last - first + std::size_t{1}; }
};

// Both clocks, read once for many packets.
struct Now {
  WallTime wall;
  BootTime boot;
  [[nodiscard]] static Now read(const Clock& clock) noexcept {
    return {clock.wall(), clock.boot()};
  }
};

// From when on a key does not count: the earlier of the two.
struct KeyEnd {
  WallTime not_after;
  BootTime deadline;
  [[nodiscard]] bool is_over(const Now& now) const noexcept {
    return now.wall >= not_after || now.boot >= deadline;
  }
};

}  // namespace cs
