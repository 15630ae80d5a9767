// SPDX-License-Identifier: GPL-3.0-or-later
// Sealed data as it lies in a file, and what opens it. docs/SEALING.md is the norm.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "tpm/evidence/public_area.h"
#include "tpm/seal/pcr_state.h"

namespace cs::tpm {

inline constexpr std::size_t most_sealed_data = std::size_t{16} * 1024 * 1024;

// What must hold for the TPM to give the key away: a state of the machine, or one that a key off
// the machine has approved for this purpose (approval.h).
struct SealPolicy {
  struct Approved {
    PublicArea approver;
    Digest reference;
    friend bool operator==(const Approved&, const Approved&) = default;
  };
  PcrState state = {};  // empty where `approved` is set
  std::optional<Approved> approved = {};
  bool auth_value = false;  // and only to who knows that besides

  // Of the object that holds the key.
  [[nodiscard]] Digest digest() const;
};

// The attributes of that object: without userWithAuth and with adminWithPolicy, so that nothing
// but the policy gets at it. Wrong auth values count for lockout where there is an auth value.
[[nodiscard]] std::uint32_t sealed_attributes(bool auth_value) noexcept;

struct SealedHeader {
  static constexpr std::size_t nonce_size = 12;

  std::uint64_t generation = 0;
  Name parent;  // of the storage root key it is sealed under
  SealPolicy policy;
  PublicArea object;  // holds the key
  Bytes private_part;
  std::array<std::uint8_t, nonce_size> nonce{};

  // All that stands before the ciphertext, and is authenticated with it.
  [[nodiscard]] Result<Bytes> encode(std::size_t data_size) const;
};

struct SealedBlob {
  static constexpr std::size_t tag_size = 16;
  static constexpr std::size_t most_header = 16384;
  static constexpr std::size_t most = most_header + most_sealed_data + tag_size;

  SealedHeader header;
  // These lie in the bytes it was read from.
  ByteView associated;
  ByteView ciphertext;
  ByteView tag;

  // The whole of `bytes`. Refused: anything encode() would not write, an object that is not what
  // the policy says. That nobody changed it, only unsealing tells.
  [[nodiscard]] static Result<SealedBlob> parse(ByteView bytes);
};

}  // namespace cs::tpm
