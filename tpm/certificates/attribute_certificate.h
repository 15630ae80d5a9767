// SPDX-License-Identifier: GPL-3.0-or-later
// Platform certificates: who made a machine says which TPM is in it, in an attribute certificate
// (RFC 5755, TCG Platform Certificate Profile 1.1).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "tpm/certificates/certificate.h"
#include "tpm/certificates/chain.h"
#include "tpm/certificates/vendor_roots.h"

namespace cs::tpm {

namespace rfc5755 {
struct Certificate;
}

// In printable ASCII, as those of Certificate.
struct AttributeCertificateFields {
  std::string holder_issuer;  // of the EK certificate it belongs to
  std::string holder_serial;  // empty where the holder is not named by a certificate
  std::string issuer;
  std::string serial;
  std::string not_before;
  std::string not_after;
  // The directory name among the alternative names. Empty where it is not there.
  std::string manufacturer;
  std::string model;
  std::string version;
  std::string platform_serial;
  std::string fingerprint;              // SHA-256
  std::vector<std::string> attributes;  // "2.23.133.2.19 tBBSecurityAssertions", not decoded
  std::string credential_type;          // object identifier; empty where there is none

  // It only tells what has changed since another one.
  [[nodiscard]] bool is_delta() const noexcept;
};

class AttributeCertificate {
 public:
  // The DER of exactly one. Refused: another version than 2, an issuer without a directory name,
  // two statements of the signature's algorithm that differ.
  [[nodiscard]] static Result<AttributeCertificate> parse(ByteView der);

  [[nodiscard]] const AttributeCertificateFields& fields() const noexcept { return fields_; }
  // Whether its holder is this certificate: by issuer and serial number.
  [[nodiscard]] bool is_held_by(const Certificate& endorsement) const noexcept;
  [[nodiscard]] bool names_as_issuer(const Certificate& issuer) const noexcept;
  [[nodiscard]] bool is_signed_by(evp_pkey_st* issuer_key) const noexcept;

  // Codes: base_certificate (not a delta, which is not supported), validity, critical_extension.
  [[nodiscard]] Findings check(const Clock& clock) const;
  // Code: signature_digest; no SHA-1 and nothing weaker.
  [[nodiscard]] Check check_strength() const;

 private:
  struct Free {
    void operator()(rfc5755::Certificate* certificate) const noexcept;
  };
  AttributeCertificate() = default;
  [[nodiscard]] Result<void> check_form() const;
  std::unique_ptr<rfc5755::Certificate, Free> decoded_;
  AttributeCertificateFields fields_;
};

struct PlatformVerdict {
  // Those of AttributeCertificate, then: holder, signature, issuer_usage, and one of chain.h. The
  // signature is `unchecked` without its issuer's certificate and without roots, the chain without
  // roots, the holder without an endorsement certificate among `given`.
  Findings findings;
  std::vector<std::string> path;  // from its issuer on
};
[[nodiscard]] PlatformVerdict verify_platform(const AttributeCertificate& platform,
                                              const std::vector<const Certificate*>& given,
                                              const VendorRoots* roots, const Clock& clock);

}  // namespace cs::tpm
