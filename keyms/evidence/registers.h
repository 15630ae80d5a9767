// SPDX-License-Identifier: GPL-3.0-or-later
// Which registers a gateway's evidence covers: who attests and who verifies must come to the same.
#pragma once

#include <cstdint>

#include "keyms/policy/core_policy.h"
#include "tpm/pcr.h"

namespace cs::keyms {

inline constexpr std::uint32_t ima_pcr = 10;
// IMA's first entry is made of PCRs 0 to 9, so they are quoted along with PCR 10.
inline constexpr std::uint32_t boot_aggregate_pcrs = 10;

// What a quote covers: boot registers, the static one, the event register if it is a PCR, and
// IMA's where its list is asked for. SHA-256 alone.
[[nodiscard]] tpm::PcrSelection quoted_registers(const Gateway& gateway);

// What a signing key in the TPM is bound to: the boot registers and the static one.
[[nodiscard]] tpm::PcrSelection signing_registers(const Gateway& gateway);

}  // namespace cs::keyms
