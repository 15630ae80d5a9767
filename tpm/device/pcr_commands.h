// SPDX-License-Identifier: GPL-3.0-or-later
// The registers in the TPM itself.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "tpm/device/device.h"
#include "tpm/hash.h"
#include "tpm/pcr.h"

namespace cs::tpm {

// All of the selection as they were at one moment, known by the TPM's update counter; read again,
// with back-off, while somebody extends in between, at most five seconds. The counter does not
// count what PC Client TPMs exempt: PCR 16 and 21 to 23. Refused: a bank that is not allocated.
[[nodiscard]] Result<PcrValues> read_pcrs(Device& device, const PcrSelection& selection);

// Extends one register in the banks of `digests`, all in one command. Without any, or with two of
// one bank: refused. A failure with Retry::anew may have happened before or after the TPM did it:
// read the register before trying again.
[[nodiscard]] Result<void> extend_pcr(Device& device, std::uint32_t index,
                                      const std::vector<Digest>& digests);

// Only 16 and 23 can be; the others are refused without asking.
[[nodiscard]] Result<void> reset_pcr(Device& device, std::uint32_t index);

}  // namespace cs::tpm
