// SPDX-License-Identifier: GPL-3.0-or-later
// Which generation of what is kept is the newest: a counter in the TPM knows. docs/SEALING.md,
// "Counters", is the norm; wherever the data are kept, they are written and read by these rules.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tpm/device/primary_keys.h"

namespace cs::tpm {

// One counter guards one thing.
struct Guard {
  std::string what;           // for errors: a path
  std::uint32_t counter = 0;  // define_counter() makes it
  Auth owner = {};            // the owner hierarchy's auth value
};

// Whether the counter has reached the generation that was found; if not, its writing was cut off
// before it counted: complete() it once it is known to be of our own making. Refused (unverified):
// a generation the TPM has left behind, or is far from.
[[nodiscard]] Result<bool> is_counted(Device& device, VolatileObject& srk, const Guard& guard,
                                      std::uint64_t generation);
[[nodiscard]] Result<void> complete(Device& device, const Guard& guard);

// To be written as, then to be counted (count_on). `kept`: what is there now. Refused (exists):
// that is not counted yet, and must be read and completed first.
[[nodiscard]] Result<std::uint64_t> next_generation(Device& device, VolatileObject& srk,
                                                    const Guard& guard,
                                                    std::optional<std::uint64_t> kept);

}  // namespace cs::tpm
