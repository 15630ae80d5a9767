// SPDX-License-Identifier: GPL-3.0-or-later
// A register that is not what its log says: which event is to blame, as far as hashes can tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/bytes.h"
#include "tpm/hash.h"

namespace cs::tpm {

// One event of a log that extends the register in question.
struct Extension {
  std::size_t event = 0;  // its number in the log
  ByteView digest;
};

struct Divergence {
  enum class Kind : std::uint8_t {
    no_bank,      // the log has no digests of this bank, or not for all of its events
    no_event,     // the log has no event of this register
    log_goes_on,  // the register is what the log made of it before `event`
    left_out,     // all events but `event` were extended
    doubled,      // `event` was extended twice
    other_start,  // the register started from another locality
    unexplained,  // none of these: `event`, the register's first, is the earliest to doubt
  };
  Kind kind = Kind::unexplained;
  std::size_t event = 0;      // from it on the register does not follow the log
  std::uint8_t locality = 0;  // where it started, for other_start

  // As "event 7 is in the log, but was never extended; all others were".
  [[nodiscard]] std::string text() const;
};

// Single events are left out and doubled on trial in registers with at most this many; the work
// grows with the square of it.
inline constexpr std::size_t most_tried = 128;
inline constexpr std::uint8_t last_locality = 4;

// Why `value`, which differs from what the extensions make of `start`, does. `localities`: whether
// the register starts from its TPM2_Startup's locality, as PCR 0 does.
[[nodiscard]] Divergence explain(const Digest& start, std::span<const Extension> extensions,
                                 const Digest& value, bool localities);

}  // namespace cs::tpm
