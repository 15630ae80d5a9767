// SPDX-License-Identifier: GPL-3.0-or-later
// What a TPM says about itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "tpm/hash.h"

namespace cs::tpm {

class Device;

// TPMS_CLOCK_INFO, as quotes carry it too.
struct TpmClock {
  std::uint64_t milliseconds = 0;
  std::uint32_t reset_count = 0;    // goes up with every reset of the TPM, hence every boot
  std::uint32_t restart_count = 0;  // goes up with every resume from suspend
  bool safe = false;                // the clock has not gone back
};

struct Capabilities {
  std::string manufacturer;  // "IFX", "INTC", "IBM"
  std::string vendor;        // the vendor's own words
  std::uint64_t firmware = 0;
  std::vector<HashAlgorithm> banks;   // PCR banks that are allocated
  std::vector<std::uint16_t> curves;  // TPM_ECC_CURVE: 3 is P-256, 4 is P-384
  std::uint32_t hash_buffer = 1024;   // most bytes of one TPM2_Hash
  std::uint32_t nv_buffer = 512;      // most bytes of one TPM2_NV_Read
  std::uint32_t object_slots = 0;     // transient objects it holds at a time, at least
  std::uint32_t session_slots = 0;
  [[nodiscard]] bool has_bank(HashAlgorithm bank) const noexcept;
};

// Dictionary attack protection.
struct Lockout {
  std::uint32_t failures = 0;
  std::uint32_t most = 0;  // failures at which it locks
  std::chrono::seconds forgets_one_in{0};
  std::chrono::seconds lockout_auth_waits{0};
  bool locked = false;
  bool owner_auth_set = false;
  bool endorsement_auth_set = false;
  bool lockout_auth_set = false;
  // "2 of 3 failed authorisations; one is forgotten every 1000 s"
  [[nodiscard]] std::string text() const;
};

// What is in the TPM now. Through a resource manager: what is in it of ours.
struct Loaded {
  std::uint32_t objects = 0;
  std::uint32_t sessions = 0;
  friend bool operator==(const Loaded&, const Loaded&) = default;
};

// How many more it takes, by its own estimate.
struct FreeSlots {
  std::uint32_t objects = 0;
  std::uint32_t sessions = 0;
};

[[nodiscard]] Result<FreeSlots> read_free_slots(Device& device);
[[nodiscard]] Result<Capabilities> read_capabilities(Device& device);
[[nodiscard]] Result<Lockout> read_lockout(Device& device);
[[nodiscard]] Result<Loaded> read_loaded(Device& device);
// The TPM's own numbers of what it has from `first` to `last`.
[[nodiscard]] Result<std::vector<std::uint32_t>> read_handles(Device& device, std::uint32_t first,
                                                              std::uint32_t last);
[[nodiscard]] Result<TpmClock> read_clock(Device& device);

}  // namespace cs::tpm
