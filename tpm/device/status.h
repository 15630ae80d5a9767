// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "tpm/device/capability.h"
#include "tpm/device/device.h"
#include "tpm/device/nv.h"

namespace cs::tpm {

// What a person wants to know of a TPM. It needs no auth value and leaves nothing behind.
struct Status {
  Capabilities capabilities;
  TpmClock clock;
  Lockout lockout;
  Loaded loaded;
  FreeSlots free;
  EndorsementBlobs endorsement;  // empty where the manufacturer left no certificate
};
[[nodiscard]] Result<Status> read_status(Device& device);

// The public area (TPM2B_PUBLIC) of the endorsement key that the certificate at `index` in NV is
// for. A TPM that does not keep the key makes it again, which with RSA may take half a minute.
[[nodiscard]] Result<std::vector<std::uint8_t>> read_endorsement_area(Device& device,
                                                                      std::uint32_t index);

// Signatures a second of ECDSA P-256, by password, with a key of the null hierarchy, which nothing
// else uses and no reset survives. Takes `duration` and one signature more.
[[nodiscard]] Result<double> measure_sign_rate(Device& device, std::chrono::milliseconds duration);

}  // namespace cs::tpm
