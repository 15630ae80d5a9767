// SPDX-License-Identifier: GPL-3.0-or-later
// The small TPM 2.0 structures that the larger ones are made of (TPM 2.0 Library, Part 2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_writer.h"
#include "base/bytes.h"
#include "base/result.h"
#include "tpm/hash.h"
#include "tpm/pcr.h"

namespace cs::tpm {

using Bytes = std::vector<std::uint8_t>;

// TPM_ALG_ID of what is no hash (those are HashAlgorithm).
enum class Algorithm : std::uint16_t {
  rsa = 0x0001,
  hmac = 0x0005,
  aes = 0x0006,
  keyedhash = 0x0008,
  exclusive_or = 0x000a,
  null = 0x0010,
  rsassa = 0x0014,
  rsaes = 0x0015,
  rsapss = 0x0016,
  oaep = 0x0017,
  ecdsa = 0x0018,
  ecdh = 0x0019,
  ecdaa = 0x001a,
  sm2 = 0x001b,
  ecschnorr = 0x001c,
  ecmqv = 0x001d,
  ecc = 0x0023,
  symcipher = 0x0025,
  cfb = 0x0043,
};
// As tpm2-tools write it, "ecdsa"; for one that is not above its number, "0x0027".
[[nodiscard]] std::string to_string(Algorithm algorithm);

// TPM2B_NAME: what the TPM calls an object or an NV index, an algorithm and a digest of its public
// area; or the handle of what has none, a hierarchy or a PCR. Empty: nobody has said.
struct Name {
  Bytes bytes;

  [[nodiscard]] static Name of(const Digest& digest);
  [[nodiscard]] static Name of_handle(std::uint32_t handle);
  [[nodiscard]] std::string hex() const;
  friend bool operator==(const Name&, const Name&) = default;
};

inline constexpr std::size_t most_name = 2 + Digest::most;
inline constexpr std::size_t most_data = 2 + Digest::most;  // TPM2B_DATA: a nonce, a policyRef

// TPM_RH: hierarchies, as parents of primary keys and as entities of PolicySecret.
inline constexpr std::uint32_t owner_hierarchy = 0x40000001;
inline constexpr std::uint32_t endorsement_hierarchy = 0x4000000b;
inline constexpr std::uint32_t platform_hierarchy = 0x4000000c;

// TPM files come with and without the length that TPM2B puts in front: the inside if the first two
// bytes are the length of the rest, else all of it. No structure read here can be mistaken.
[[nodiscard]] ByteView without_size(ByteView file) noexcept;

// A hash algorithm we know; unknown ones are refused (unsupported), with their number.
[[nodiscard]] Result<HashAlgorithm> read_hash_algorithm(ByteReader& in, std::string_view what);
[[nodiscard]] Result<Name> read_name(ByteReader& in, std::string_view what);

// TPML_PCR_SELECTION as PC Client TPMs write it, three bytes a bank. Refused: another width, more
// than 16 banks, a bank twice. A bank without a register is kept: it counts for the digest of
// PolicyPCR.
[[nodiscard]] Result<PcrSelection> read_pcr_selection(ByteReader& in);
void write_pcr_selection(ByteBuilder& out, const PcrSelection& selection);

// What of a fixed limit was written and cannot overrun it.
[[nodiscard]] Bytes finish(ByteBuilder& out);

}  // namespace cs::tpm
