// SPDX-License-Identifier: GPL-3.0-or-later
// A key record of docs/WIRE.md as a file, for one direction: JSON, with the private key on the
// signing side and the public key on the verifying side.
//
//   {"version": 1, "key_id": 7, "session": 64 hex digits, "direction": 0, "suite": "p256-16",
//    "pcr_digest": 64 hex digits, "gate_secret": 32 hex digits, "lanes": [0, 15],
//    "not_after": "2026-02-01T13:00:00Z", "lifetime_seconds": 3600,
//    "private_key" or "public_key": hex digits}
//
// Only lifetime_seconds may be missing. Anything else than this is refused with the field's name.
// Both sides' files hold the gate secret, so neither is for everybody's eyes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "nfq-signer/inbound.h"
#include "nfq-signer/key.h"
#include "nfq-signer/outbound.h"

namespace cs {

inline constexpr std::size_t max_key_file = 65536;

// "p256-16" and so on, as operators and files name them.
[[nodiscard]] std::string_view suite_name(Suite suite) noexcept;
[[nodiscard]] std::optional<Suite> suite_from_name(std::string_view name) noexcept;

// What both sides' files say.
struct KeyRecord {
  KeyScope scope;
  LaneRange lanes;
  WallTime not_after;
  std::optional<std::chrono::seconds> lifetime;  // from the moment the key is loaded

  // Call it once, when the key is loaded.
  [[nodiscard]] KeyEnd end(const Now& now) const noexcept;
};

struct PrivateKeyFile {
  KeyRecord record;
  SecretBytes gate_secret;
  SecretBytes private_key;  // as SigningKey takes it
};

struct PublicKeyFile {
  KeyRecord record;
  SecretBytes gate_secret;
  std::vector<std::uint8_t> public_key;  // as VerifyingKey takes it
};

// Refused: more than max_key_file bytes, and all that is not exactly the form above.
[[nodiscard]] Result<PrivateKeyFile> parse_private_key_file(std::string_view text);
[[nodiscard]] Result<PublicKeyFile> parse_public_key_file(std::string_view text);

// The same from a file. One with a private key must be ours and nobody else's to read or write
// (0600 or stricter).
[[nodiscard]] Result<PrivateKeyFile> read_private_key_file(const std::string& path);
[[nodiscard]] Result<PublicKeyFile> read_public_key_file(const std::string& path);

// What the data plane works with. The private key itself: SigningKey::load(suite, private_key).
// Refused: a lane that is not the key's, and a public key that is no point of its group.
[[nodiscard]] Result<OutboundKey> make_outbound_key(PrivateKeyFile file, std::uint16_t lane,
                                                    const Now& now);
[[nodiscard]] Result<InboundKey> make_inbound_key(PublicKeyFile file, const Now& now);

// Makes a new key pair and a new gate secret, and writes them to `path` and `path`.pub, both 0600
// and on the disk when it returns. Never overwrites a file (`exists`); on failure leaves none.
[[nodiscard]] Result<void> make_key_files(const KeyRecord& record, const std::string& path);

}  // namespace cs
