// SPDX-License-Identifier: GPL-3.0-or-later
// One X.509 certificate of a TPM or of those who vouch for it: what it says, and whether it says
// what its kind must. Whether somebody trusted stands behind it is chain.h's part.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "tpm/check.h"

struct x509_st;
struct evp_pkey_st;

namespace cs::tpm {

enum class CertificateKind : std::uint8_t {
  endorsement,  // of an EK
  attestation,  // of an AK
  platform,     // of the machine, in the form of a public key certificate
  authority,    // of who issues others
  other,
};
[[nodiscard]] std::string_view to_string(CertificateKind kind) noexcept;

// In printable ASCII: whatever else a certificate has in its texts is escaped.
struct CertificateFields {
  CertificateKind kind = CertificateKind::other;
  std::string subject;
  std::string issuer;
  std::string serial;  // hex
  std::string not_before;
  std::string not_after;  // RFC 3339
  std::string key;        // "RSA-2048", "P-256"
  // The directory name among the alternative names. Empty where it is not there.
  std::string manufacturer;  // "id:494E5443"
  std::string model;
  std::string version;
  std::vector<std::string> key_usage;           // as RFC 5280 names the bits
  std::vector<std::string> extended_key_usage;  // object identifiers
  std::string issuer_url;                       // where the issuer's certificate can be fetched
  std::string fingerprint;                      // SHA-256 of the certificate as it came
  std::vector<std::string> forgiven;            // sentences
};

class Certificate {
 public:
  // The DER of exactly one. What OpenSSL would not load and real certificates have is put right,
  // and listed in `forgiven`: a serial number that is not minimally encoded, rsaesOaep as the
  // algorithm of an RSA key. The signature is verified over the bytes as they came. Refused: a key
  // of an algorithm that OpenSSL has not.
  [[nodiscard]] static Result<Certificate> parse(ByteView der);

  [[nodiscard]] const CertificateFields& fields() const noexcept { return fields_; }
  // Common name, or the whole name, or what TPM it is: for a sentence.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] evp_pkey_st* public_key() const noexcept;
  // What OpenSSL made of it. Owned here.
  [[nodiscard]] x509_st* x509() const noexcept { return x509_.get(); }
  [[nodiscard]] bool is_self_issued() const noexcept;
  // Over the bytes as they came.
  [[nodiscard]] bool is_signed_by(evp_pkey_st* issuer_key) const noexcept;

 private:
  struct Free {
    void operator()(x509_st* certificate) const noexcept;
  };
  Certificate() = default;
  std::unique_ptr<x509_st, Free> x509_;
  std::vector<std::uint8_t> signed_part_;
  CertificateFields fields_;
};

// What its kind must hold, each with a code:
//   validity              now is within its time
//   not_authority         it is not that of a CA (for `authority`: authority, that it is)
//   extended_key_usage    it names the purpose of its kind
//   key_usage             an RSA EK enciphers, an EC EK agrees on keys, an AK signs
//   key_type              RSA-2048/3072/4096, P-256, P-384 (EK)
//   tpm_attributes        manufacturer, model and version are there (EK)
//   key_matches           its key is `expected`; only where that is given
[[nodiscard]] Findings check(const Certificate& certificate, const Clock& clock,
                             const evp_pkey_st* expected = nullptr);

}  // namespace cs::tpm
