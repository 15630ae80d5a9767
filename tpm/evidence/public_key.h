// SPDX-License-Identifier: GPL-3.0-or-later
// Public keys and signatures of a TPM, verified in software.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tpm/evidence/public_area.h"

struct evp_pkey_st;

namespace cs::tpm {

// TPMT_SIGNATURE with ecdsa, rsassa or rsapss.
struct Signature {
  Algorithm scheme = Algorithm::ecdsa;
  HashAlgorithm hash = HashAlgorithm::sha256;
  Bytes value;  // RSA: the signature; ECDSA: r
  Bytes s;      // ECDSA

  // The whole of `bytes`. Refused: another scheme, numbers longer than any key's.
  [[nodiscard]] static Result<Signature> parse(ByteView bytes);
  [[nodiscard]] Bytes encode() const;
};

// An RSA key of 2048 to 4096 bits with exponent 65537, or one on P-256, P-384 or P-521.
class PublicKey {
 public:
  // Refused: what is no such key; a point that is not on its curve.
  [[nodiscard]] static Result<PublicKey> from(const PublicArea& area);
  // "BEGIN PUBLIC KEY", alone in its text.
  [[nodiscard]] static Result<PublicKey> from_pem(std::string_view pem);
  // A file: PEM, TPMT_PUBLIC or TPM2B_PUBLIC.
  [[nodiscard]] static Result<PublicKey> read(ByteView file);

  // What the TPM shows of it; null where only a PEM is known.
  [[nodiscard]] const PublicArea* area() const noexcept { return area_ ? &*area_ : nullptr; }
  [[nodiscard]] bool is_rsa() const noexcept;
  // Of an RSA modulus, or of a curve's field.
  [[nodiscard]] std::size_t bits() const noexcept;
  [[nodiscard]] std::string text() const;  // "RSA with 2048 bits", "P-256"

  // Whether this key made the signature of hash(message). High and low s alike; r and s must be in
  // range. Says nothing of the key's own scheme: that is for check_scheme() of attest_check.h.
  [[nodiscard]] bool verifies(const Signature& signature, ByteView message) const;

  // For MakeCredential. Owned here.
  [[nodiscard]] evp_pkey_st* openssl() const noexcept { return key_.get(); }

 private:
  struct Free {
    void operator()(evp_pkey_st* key) const noexcept;
  };
  using Key = std::unique_ptr<evp_pkey_st, Free>;
  static Result<Key> rsa(const PublicArea& area);
  static Result<Key> ecc(const PublicArea& area);
  static Result<PublicKey> checked(Key key, std::optional<PublicArea> area);
  PublicKey(Key key, std::optional<PublicArea> area)
      : key_(std::move(key)), area_(std::move(area)) {}

  Key key_;
  std::optional<PublicArea> area_;
};

// A signature file: TPMT_SIGNATURE; or what OpenSSL knows, the DER of an ECDSA signature or the
// bytes of an RSA one, which name neither scheme nor hash: those are then the key's own where its
// public area is known, else SHA-256, and RSASSA.
struct SignatureFile {
  enum class Form { tpm, der, raw };
  Signature signature;
  Form form = Form::tpm;
};
[[nodiscard]] std::string_view to_string(SignatureFile::Form form) noexcept;
[[nodiscard]] Result<SignatureFile> read_signature(ByteView file, const PublicKey& key);

}  // namespace cs::tpm
