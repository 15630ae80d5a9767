// SPDX-License-Identifier: GPL-3.0-or-later
// A counter in the TPM that only grows: what is old is known by it. counter_area.h says which.
#pragma once

#include <cstdint>

#include "tpm/device/primary_keys.h"
#include "tpm/device/session.h"
#include "tpm/seal/counter_area.h"

namespace cs::tpm {

// Makes the index if there is none, and lets it count once; `owner` is the owner hierarchy's auth
// value. Refused (exists): there is one that looks otherwise.
[[nodiscard]] Result<void> define_counter(Device& device, std::uint32_t index,
                                          const Auth& owner = {});
// `salt_key` (the SRK) lets nobody in between answer for the TPM. Refused: not_found, there is
// none; unverified, it is none of ours.
[[nodiscard]] Result<std::uint64_t> read_counter(Device& device, const Handle& salt_key,
                                                 std::uint32_t index);
// NV memory wears out: for what a person decides, not for what happens by itself.
[[nodiscard]] Result<void> count_on(Device& device, std::uint32_t index, const Auth& owner = {});

// TPM2_PolicyNV: goes on only while the counter is at most that. Refused (denied): it is above.
[[nodiscard]] Result<void> policy_counter(Device& device, const Session& session,
                                          std::uint32_t index, std::uint64_t at_most);

}  // namespace cs::tpm
