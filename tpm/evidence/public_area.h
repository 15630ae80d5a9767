// SPDX-License-Identifier: GPL-3.0-or-later
// What a TPM shows of a key or an NV index: TPMT_PUBLIC, TPMS_NV_PUBLIC. What is read is written
// back byte for byte, so that a Name can be computed from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tpm/evidence/structures.h"

namespace cs::tpm {

// TPMA_OBJECT.
namespace attribute {
inline constexpr std::uint32_t fixed_tpm = 1U << 1U;
inline constexpr std::uint32_t st_clear = 1U << 2U;
inline constexpr std::uint32_t fixed_parent = 1U << 4U;
inline constexpr std::uint32_t sensitive_data_origin = 1U << 5U;
inline constexpr std::uint32_t user_with_auth = 1U << 6U;
inline constexpr std::uint32_t admin_with_policy = 1U << 7U;
inline constexpr std::uint32_t no_da = 1U << 10U;
inline constexpr std::uint32_t encrypted_duplication = 1U << 11U;
inline constexpr std::uint32_t restricted = 1U << 16U;
inline constexpr std::uint32_t decrypt = 1U << 17U;
inline constexpr std::uint32_t sign = 1U << 18U;
inline constexpr std::uint32_t x509_sign = 1U << 19U;
}  // namespace attribute
// TPMA_NV.
namespace nv_attribute {
inline constexpr std::uint32_t written = 1U << 29U;
// What ExtendIndex (tpm/device/nv.h) is defined with: of the type extend, orderly, cleared at
// startup; extended and read with its auth value, read by the owner; no lockout.
inline constexpr std::uint32_t own_register = 0x0e060044;
}  // namespace nv_attribute
// As tpm2-tools write them: "fixedtpm|fixedparent|sign"; those without a name as "bit20".
[[nodiscard]] std::string attribute_words(std::uint32_t attributes);

// TPM_ECC_CURVE. Others have their number and no name here.
enum class Curve : std::uint16_t { p256 = 0x0003, p384 = 0x0004, p521 = 0x0005 };

// TPMT_SYM_DEF_OBJECT; bits and mode mean nothing for Algorithm::null.
struct Symmetric {
  Algorithm algorithm = Algorithm::null;
  std::uint16_t bits = 0;
  Algorithm mode = Algorithm::null;
  friend bool operator==(const Symmetric&, const Symmetric&) = default;
};

// A signing, encryption or key derivation scheme. ecdaa has a count, xor a second algorithm.
struct Scheme {
  Algorithm algorithm = Algorithm::null;
  std::optional<HashAlgorithm> hash = {};
  std::uint16_t extra = 0;
  friend bool operator==(const Scheme&, const Scheme&) = default;
  [[nodiscard]] std::string text() const;  // "ecdsa with sha256"
};

struct PublicArea {
  Algorithm type = Algorithm::ecc;  // rsa, ecc, keyedhash or symcipher
  HashAlgorithm name_algorithm = HashAlgorithm::sha256;
  std::uint32_t attributes = 0;
  Bytes policy;         // authPolicy: empty or a digest
  Symmetric symmetric;  // not of keyedhash
  Scheme scheme;        // not of symcipher
  std::uint16_t rsa_bits = 0;
  std::uint32_t rsa_exponent = 0;  // 0 stands for 65537
  Curve curve{};
  Scheme kdf;
  Bytes unique;    // RSA: modulus; ECC: x; else a digest
  Bytes unique_y;  // ECC

  // The whole of `bytes` as TPMT_PUBLIC (without_size() takes a TPM2B_PUBLIC's length off).
  [[nodiscard]] static Result<PublicArea> parse(ByteView bytes);
  [[nodiscard]] Bytes encode() const;
  friend bool operator==(const PublicArea&, const PublicArea&) = default;
};

// TPMS_NV_PUBLIC. Its attributes change with use (written, locked), and its Name with them.
struct NvPublic {
  std::uint32_t index = 0;
  HashAlgorithm name_algorithm = HashAlgorithm::sha256;
  std::uint32_t attributes = 0;  // TPMA_NV
  Bytes policy;
  std::uint16_t size = 0;

  [[nodiscard]] static Result<NvPublic> parse(ByteView bytes);
  [[nodiscard]] Bytes encode() const;
  friend bool operator==(const NvPublic&, const NvPublic&) = default;
};

}  // namespace cs::tpm
