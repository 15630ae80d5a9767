// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "tpm/device/volatile_object.h"

namespace cs::tpm {

// A key as it lies on disk: TPM2B_PUBLIC and TPM2B_PRIVATE. Only the TPM that made it can use it.
struct KeyBlobs {
  std::vector<std::uint8_t> public_part;
  std::vector<std::uint8_t> private_part;
};

// The key below `parent`, which is loaded for as long as loading takes. `what`: as VolatileObject.
[[nodiscard]] VolatileObject child_key(const std::string& what, KeyBlobs blobs,
                                       VolatileObject parent);

}  // namespace cs::tpm
