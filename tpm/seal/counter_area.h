// SPDX-License-Identifier: GPL-3.0-or-later
// Which NV counters are ours, and what they look like. Needs no TPM.
#pragma once

#include <cstdint>

#include "tpm/evidence/public_area.h"

namespace cs::tpm {

// In what the TCG's registry of handles leaves to the owner, 0x01800000 to 0x01bfffff.
inline constexpr std::uint32_t first_counter_index = 0x018c5000;
inline constexpr std::uint32_t last_counter_index = 0x018c50ff;
// Refused: an index that is not of this range.
[[nodiscard]] Result<void> check_counter_index(std::uint32_t index);

// As it is once it has counted. The owner makes it count, so that nobody wears it out or retires
// what is still needed; everybody may read it, so that a policy can; it never locks anybody out.
// Removed and made again it goes on above what any counter of that TPM has reached.
[[nodiscard]] NvPublic counter_area(std::uint32_t index);

}  // namespace cs::tpm
