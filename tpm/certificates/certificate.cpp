// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/certificate.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/panic.h"
#include "tpm/certificates/certificate_repair.h"
#include "tpm/certificates/openssl_text.h"
#include "tpm/hash.h"

namespace cs::tpm {

namespace {

constexpr const char* tpm_manufacturer = "2.23.133.2.1";
constexpr const char* tpm_model = "2.23.133.2.2";
constexpr const char* tpm_version = "2.23.133.2.3";
constexpr std::string_view for_endorsement = "2.23.133.8.1";
constexpr std::string_view for_platform =
    "2.23.133.8.2";  // of attribute certificates, says the TCG
constexpr std::string_view for_attestation = "2.23.133.8.3";
constexpr std::string_view for_platform_key = "2.23.133.8.4";

struct Bit {
  std::uint32_t bit;
  std::string_view name;
};
constexpr std::array usage_bits{
    Bit{KU_DIGITAL_SIGNATURE, "digitalSignature"},
    Bit{KU_NON_REPUDIATION, "nonRepudiation"},
    Bit{KU_KEY_ENCIPHERMENT, "keyEncipherment"},
    Bit{KU_DATA_ENCIPHERMENT, "dataEncipherment"},
    Bit{KU_KEY_AGREEMENT, "keyAgreement"},
    Bit{KU_KEY_CERT_SIGN, "keyCertSign"},
    Bit{KU_CRL_SIGN, "cRLSign"},
    Bit{KU_ENCIPHER_ONLY, "encipherOnly"},
    Bit{KU_DECIPHER_ONLY, "decipherOnly"},
};

using EmbeddedNames = Openssl<GENERAL_NAMES, GENERAL_NAMES_free>;

template <class T>
T* extension(const X509* x509, int nid) {
  return static_cast<T*>(X509_get_ext_d2i(x509, nid, nullptr, nullptr));
}

std::string key_name(EVP_PKEY* key) {
  std::array<char, 64> group{};
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
    return "RSA-" + std::to_string(EVP_PKEY_get_bits(key));
  }
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
      EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1) {
    const std::string_view name = group.data();
    if (name == "prime256v1") return "P-256";
    if (name == "secp384r1") return "P-384";
    return std::string(name);
  }
  const char* const name = EVP_PKEY_get0_type_name(key);
  return name == nullptr ? "?" : name;
}

bool has(const std::vector<std::string>& list, std::string_view entry) {
  return std::ranges::find(list, entry) != list.end();
}

bool is_authority(X509* x509) {
  return (X509_get_extension_flags(x509) & EXFLAG_CA) != 0;
}

CertificateKind kind_of(const CertificateFields& fields, bool authority) {
  const auto& purposes = fields.extended_key_usage;
  if (has(purposes, for_endorsement)) return CertificateKind::endorsement;
  if (has(purposes, for_attestation)) return CertificateKind::attestation;
  if (has(purposes, for_platform) || has(purposes, for_platform_key)) {
    return CertificateKind::platform;
  }
  if (authority) return CertificateKind::authority;
  return fields.manufacturer.empty() ? CertificateKind::other : CertificateKind::endorsement;
}

void read_usages(X509* x509, CertificateFields& fields) {
  if ((X509_get_extension_flags(x509) & EXFLAG_KUSAGE) != 0) {
    const std::uint32_t usage = X509_get_key_usage(x509);
    for (const Bit& bit : usage_bits) {
      if ((usage & bit.bit) != 0) fields.key_usage.emplace_back(bit.name);
    }
  }
  const Openssl<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free> purposes(
      extension<EXTENDED_KEY_USAGE>(x509, NID_ext_key_usage));
  for (int i = 0; i < sk_ASN1_OBJECT_num(purposes.get()); ++i) {
    fields.extended_key_usage.push_back(text_of(sk_ASN1_OBJECT_value(purposes.get(), i)));
  }
}

std::string issuer_url(const X509* x509) {
  const Openssl<AUTHORITY_INFO_ACCESS, AUTHORITY_INFO_ACCESS_free> access(
      extension<AUTHORITY_INFO_ACCESS>(x509, NID_info_access));
  for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(access.get()); ++i) {
    const ACCESS_DESCRIPTION* const entry = sk_ACCESS_DESCRIPTION_value(access.get(), i);
    int type = 0;
    const void* const place = GENERAL_NAME_get0_value(entry->location, &type);
    if (OBJ_obj2nid(entry->method) == NID_ad_ca_issuers && type == GEN_URI) {
      return text_of(static_cast<const ASN1_IA5STRING*>(place));
    }
  }
  return {};
}

CertificateFields fields_of(X509* x509) {
  CertificateFields fields;
  fields.subject = text_of(X509_get_subject_name(x509));
  fields.issuer = text_of(X509_get_issuer_name(x509));
  fields.serial = hex_of(X509_get0_serialNumber(x509));
  fields.not_before = text_of_time(X509_get0_notBefore(x509));
  fields.not_after = text_of_time(X509_get0_notAfter(x509));
  fields.key = key_name(X509_get0_pubkey(x509));
  const EmbeddedNames names(extension<GENERAL_NAMES>(x509, NID_subject_alt_name));
  const X509_NAME* const tpm = directory_name(names.get());
  fields.manufacturer = entry_of(tpm, tpm_manufacturer);
  fields.model = entry_of(tpm, tpm_model);
  fields.version = entry_of(tpm, tpm_version);
  read_usages(x509, fields);
  fields.issuer_url = issuer_url(x509);
  fields.kind = kind_of(fields, is_authority(x509));
  return fields;
}

}  // namespace

std::string_view to_string(CertificateKind kind) noexcept {
  switch (kind) {
    case CertificateKind::endorsement:
      return "endorsement";
    case CertificateKind::attestation:
      return "attestation";
    case CertificateKind::platform:
      return "platform";
    case CertificateKind::authority:
      return "authority";
    case CertificateKind::other:
      break;
  }
  return "other";
}

void Certificate::Free::operator()(x509_st* certificate) const noexcept {
  X509_free(certificate);
}

Result<Certificate> Certificate::parse(ByteView der) {
  CS_TRY(RepairedCertificate repaired, repair_certificate(der));
  Certificate certificate;
  const unsigned char* at = repaired.der.data();
  certificate.x509_.reset(d2i_X509(nullptr, &at, static_cast<long>(repaired.der.size())));
  if (!certificate.x509_ || at != repaired.der.data() + repaired.der.size()) {
    return openssl_error(ErrorKind::invalid, "the certificate does not parse");
  }
  X509* const x509 = certificate.x509_.get();
  const bool extensions_parse = X509_check_purpose(x509, -1, 0) == 1;
  const bool key_loads = X509_get0_pubkey(x509) != nullptr;
  ERR_clear_error();
  if (!extensions_parse) {
    return Error(ErrorKind::invalid,
                 "the certificate does not parse: one of its extensions is bad");
  }
  if (!key_loads) {
    return Error(
        ErrorKind::unsupported,
        "the certificate's public key does not load: it is broken, or of an algorithm that "
        "is not known here");
  }
  certificate.fields_ = fields_of(x509);
  ERR_clear_error();
  certificate.fields_.fingerprint = Hasher(HashAlgorithm::sha256).hash({der}).hex();
  certificate.fields_.forgiven = std::move(repaired.forgiven);
  certificate.signed_part_ = std::move(repaired.signed_part);
  return certificate;
}

std::string Certificate::name() const {
  std::string name = short_name(X509_get_subject_name(x509_.get()));
  if (!name.empty()) return name;
  return fields_.model.empty() ? "no name" : "TPM " + fields_.model;
}

evp_pkey_st* Certificate::public_key() const noexcept {
  return X509_get0_pubkey(x509_.get());
}

bool Certificate::is_self_issued() const noexcept {
  return X509_NAME_cmp(X509_get_subject_name(x509_.get()), X509_get_issuer_name(x509_.get())) == 0;
}

bool Certificate::is_signed_by(evp_pkey_st* issuer_key) const noexcept {
  const ASN1_BIT_STRING* signature = nullptr;
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(&signature, &algorithm, x509_.get());
  if (X509_ALGOR_cmp(algorithm, X509_get0_tbs_sigalg(x509_.get())) != 0) return false;
  // A sequence as ASN1_TYPE holds it is written out as it came.
  const Openssl<ASN1_TYPE, ASN1_TYPE_free> body(ASN1_TYPE_new());
  ASN1_STRING* const bytes = ASN1_STRING_new();
  if (!body || bytes == nullptr ||
      ASN1_STRING_set(bytes, signed_part_.data(), static_cast<int>(signed_part_.size())) != 1) {
    panic("no memory");
  }
  ASN1_TYPE_set(body.get(), V_ASN1_SEQUENCE, bytes);
  const int verified =
      ASN1_item_verify(ASN1_ITEM_rptr(ASN1_ANY), algorithm, signature, body.get(), issuer_key);
  ERR_clear_error();
  return verified == 1;
}

}  // namespace cs::tpm
