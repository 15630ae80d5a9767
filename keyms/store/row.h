// SPDX-License-Identifier: GPL-3.0-or-later
// What lies encrypted in the store, each row for itself: AES-256-GCM under the store's key, which
// names what the row is, so that no row can stand in for another. docs/STORE.md is the norm.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"
#include "keyms/signer_protocol.h"
#include "tpm/seal/seal.h"

namespace cs::keyms {

enum class RowKind : std::uint8_t {
  book = 1,
  session_key,
  peer_memory,      // of what a peer has shown, by its NeID
  acknowledgement,  // of a person, that an event was seen
  note,             // anything else that keymsd wants to find again
};

struct RowName {
  static constexpr std::size_t most = 64;

  RowKind kind = RowKind::note;
  std::string_view name;  // 1 to `most` bytes
};

// The book is the largest.
inline constexpr std::size_t most_row = std::size_t{8} * 1024 * 1024;

// Under a random nonce. `key`: one per generation of the store.
[[nodiscard]] Result<std::vector<std::uint8_t>> encrypt_row(const SecretBytes& key,
                                                            const RowName& name, ByteView plain);
// Refused (unverified): it was changed, or is another row's, or of another generation.
[[nodiscard]] Result<tpm::Unsealed> decrypt_row(const SecretBytes& key, const RowName& name,
                                                ByteView row);

// What MIMOS calls the TPM certificate: what both gateways know of a session key.
struct KeyCertificate {
  std::uint32_t key = 0;
  std::string peer;  // NeID
  Suite suite = Suite::p256_node16;
  std::vector<std::uint8_t> public_key;  // of the suite's size
  std::uint64_t not_before = 0;          // seconds since 1970: from then on
  std::uint64_t not_after = 0;           // and until then, as KeyEnd
  friend bool operator==(const KeyCertificate&, const KeyCertificate&) = default;
};

// The private key itself, or how the TPM keeps one that does not leave it.
inline constexpr std::size_t most_private_part = 2048;

struct KeptKey {
  KeyCertificate certificate;
  SecretBytes private_part;
};
// In memory that is wiped.
[[nodiscard]] Result<tpm::Unsealed> encode_key(const KeyCertificate& certificate,
                                               const SecretBytes& private_part);
// The whole of `bytes`: what encode_key() writes, and nothing else.
[[nodiscard]] Result<KeptKey> decode_key(ByteView bytes);

}  // namespace cs::keyms
