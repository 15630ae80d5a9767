// SPDX-License-Identifier: GPL-3.0-or-later
// A new key for one attestation, as the data plane takes it (docs/PROTOCOL.md).
#pragma once

#include <vector>

#include "base/secret.h"
#include "keyms/signer_protocol.h"

namespace cs::keyms {

struct MadeKey {
  SecretBytes private_part;  // P-256: the scalar. Ed25519: the seed
  std::vector<std::uint8_t> public_key;
};
[[nodiscard]] Result<MadeKey> make_session_key(Suite suite);

}  // namespace cs::keyms
