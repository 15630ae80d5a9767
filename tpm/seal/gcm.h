// SPDX-License-Identifier: GPL-3.0-or-later
// AES-256-GCM of a whole message.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"

namespace cs::tpm {

inline constexpr std::size_t gcm_key_size = 32;
inline constexpr std::size_t gcm_nonce_size = 12;
inline constexpr std::size_t gcm_tag_size = 16;

struct GcmMessage {
  const SecretBytes& key;
  ByteView nonce;       // never twice with one key
  ByteView associated;  // authenticated, not encrypted
};
// `ciphertext` is as long as `plain`, `tag` gcm_tag_size bytes.
[[nodiscard]] Result<void> gcm_encrypt(const GcmMessage& message, ByteView plain,
                                       ByteSpan ciphertext, ByteSpan tag);
// Refused (unverified): something was changed; `plain` is zeros then.
[[nodiscard]] Result<void> gcm_decrypt(const GcmMessage& message, ByteView ciphertext, ByteView tag,
                                       ByteSpan plain);

}  // namespace cs::tpm
