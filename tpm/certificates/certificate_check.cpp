// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <array>
#include <utility>

#include "tpm/certificates/certificate.h"
#include "tpm/certificates/manufacturer.h"
#include "tpm/certificates/openssl_text.h"

namespace cs::tpm {

namespace {

bool has(const std::vector<std::string>& list, std::string_view entry) {
  return std::ranges::find(list, entry) != list.end();
}

std::string join(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& entry : list) text += (text.empty() ? "" : ", ") + entry;
  return text.empty() ? "none" : text;
}

Check check_validity(const Certificate& certificate, const Clock& clock) {
  constexpr std::string_view code = "validity";
  const CertificateFields& fields = certificate.fields();
  std::time_t now = to_time_t(clock.wall());
  const int begun = X509_cmp_time(X509_get0_notBefore(certificate.x509()), &now);
  const int over = X509_cmp_time(X509_get0_notAfter(certificate.x509()), &now);
  if (begun == 0 || over == 0) return fails(code, "its time of validity is written wrongly");
  if (begun > 0) return fails(code, "not valid before " + fields.not_before);
  if (over < 0) return fails(code, "expired " + fields.not_after);
  return holds(code, "valid until " + fields.not_after);
}

Check check_authority(const Certificate& certificate, bool wanted) {
  const std::string_view code = wanted ? "authority" : "not_authority";
  const bool is = (X509_get_extension_flags(certificate.x509()) & EXFLAG_CA) != 0;
  std::string sentence = is ? "it may issue certificates" : "it may not issue certificates";
  return is == wanted ? holds(code, std::move(sentence)) : fails(code, std::move(sentence));
}

Check check_purpose(const CertificateFields& fields, std::string_view purpose,
                    std::string_view name) {
  constexpr std::string_view code = "extended_key_usage";
  if (has(fields.extended_key_usage, purpose)) return holds(code, "names " + std::string(name));
  return fails(code, "does not name " + std::string(name) + " (" + std::string(purpose) +
                         "); it names " + join(fields.extended_key_usage));
}

Check check_key_usage(const CertificateFields& fields, std::string_view wanted) {
  constexpr std::string_view code = "key_usage";
  std::string sentence = "the usage of its " + fields.key + " key is " + join(fields.key_usage);
  if (fields.key_usage.empty()) return holds(code, "it states no usage, which allows every one");
  if (has(fields.key_usage, wanted)) return holds(code, std::move(sentence));
  return fails(code, sentence + ", where " + std::string(wanted) + " is wanted");
}

Check check_key_type(const CertificateFields& fields) {
  constexpr std::string_view code = "key_type";
  constexpr std::array<std::string_view, 5> known{"RSA-2048", "RSA-3072", "RSA-4096", "P-256",
                                                  "P-384"};
  if (std::ranges::find(known, fields.key) != known.end()) return holds(code, fields.key);
  return fails(code, "an EK of the type " + fields.key +
                         "; known are RSA-2048, RSA-3072, RSA-4096, P-256 and P-384");
}

Check check_attributes(const CertificateFields& fields) {
  constexpr std::string_view code = "tpm_attributes";
  if (fields.manufacturer.empty() || fields.model.empty() || fields.version.empty()) {
    return fails(code,
                 "manufacturer, model or version of the TPM is missing among its alternative "
                 "names");
  }
  const auto name = manufacturer_name(std::string_view(fields.manufacturer));
  return holds(code, "a TPM of " + std::string(name ? *name : "a manufacturer not known here") +
                         " (" + fields.manufacturer + ")");
}

Check check_key(const Certificate& certificate, const EVP_PKEY* expected) {
  constexpr std::string_view code = "key_matches";
  if (EVP_PKEY_eq(certificate.public_key(), expected) == 1) {
    return holds(code, "it is of the key that was given");
  }
  return fails(code, "it is of another key than the one that was given");
}

void check_endorsement(const CertificateFields& fields, Findings& findings) {
  findings.add(check_purpose(fields, "2.23.133.8.1", "tcg-kp-EKCertificate"));
  const bool rsa = fields.key.starts_with("RSA");
  findings.add(check_key_usage(fields, rsa ? "keyEncipherment" : "keyAgreement"));
  findings.add(check_key_type(fields));
  findings.add(check_attributes(fields));
}

}  // namespace

Findings check(const Certificate& certificate, const Clock& clock, const evp_pkey_st* expected) {
  const CertificateFields& fields = certificate.fields();
  Findings findings;
  findings.add(check_validity(certificate, clock));
  if (fields.kind != CertificateKind::other) {
    findings.add(check_authority(certificate, fields.kind == CertificateKind::authority));
  }
  if (fields.kind == CertificateKind::endorsement) check_endorsement(fields, findings);
  if (fields.kind == CertificateKind::attestation) {
    findings.add(check_key_usage(fields, "digitalSignature"));
  }
  if (expected != nullptr) findings.add(check_key(certificate, expected));
  return findings;
}

}  // namespace cs::tpm
