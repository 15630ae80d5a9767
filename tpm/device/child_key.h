// SPDX-License-Identifier: GPL-3.0-or-later
// For tpm/*.cpp only: keys below another.
#pragma once

#include <string_view>

#include "tpm/device/esys.h"
#include "tpm/device/key_blobs.h"
#include "tpm/device/primary_keys.h"
#include "tpm/device/session.h"

namespace cs::tpm {

// A signing key with SHA-256 as everything: ECDSA P-256, or RSASSA-2048.
[[nodiscard]] TPM2B_PUBLIC signing_template(KeyType type, TPMA_OBJECT attributes);

// TPM2_Create; `auth` goes encrypted. `parent` is loaded for as long as it takes.
[[nodiscard]] Result<KeyBlobs> create_child(Device& device, SaltedSession& session,
                                            VolatileObject parent, const TPM2B_PUBLIC& shape,
                                            const Auth& auth, std::string_view what);

}  // namespace cs::tpm
