// SPDX-License-Identifier: GPL-3.0-or-later
// The key derivation functions of TPM 2.0 Part 1: KDFa is SP 800-108 in counter mode over HMAC,
// KDFe the one-step function of SP 800-56C over a hash.
#pragma once

#include <string_view>

#include "base/secret.h"
#include "tpm/hash.h"

namespace cs::tpm {

// What makes two derivations from one secret differ. The label without the zero that ends it.
struct KdfContext {
  std::string_view label;
  ByteView u;  // contextU, partyUInfo
  ByteView v;
};

[[nodiscard]] Result<SecretBytes> kdfa(HashAlgorithm hash, const SecretBytes& key,
                                       const KdfContext& context, std::size_t size);
[[nodiscard]] Result<SecretBytes> kdfe(HashAlgorithm hash, const SecretBytes& z,
                                       const KdfContext& context, std::size_t size);

}  // namespace cs::tpm
