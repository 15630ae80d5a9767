// SPDX-License-Identifier: GPL-3.0-or-later
// The core policy as bytes: deterministic CBOR, docs/POLICY.md. Of one policy there is one
// encoding.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "keyms/policy/core_policy.h"

namespace cs::keyms {

// Refused: what does not validate, what is longer than max_policy_bytes.
Result<std::vector<std::uint8_t>> encode(const CorePolicy& policy);

// The whole of `bytes`. Refused: everything encode() would not write.
Result<CorePolicy> decode_policy(ByteView bytes);

// SHA-256 of an encoded policy: the core properties value.
[[nodiscard]] Hash core_properties_value(ByteView encoded);

}  // namespace cs::keyms
