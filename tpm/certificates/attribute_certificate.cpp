// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/attribute_certificate.h"

#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "tpm/certificates/attribute_certificate_asn1.h"
#include "tpm/certificates/openssl_text.h"
#include "tpm/hash.h"

namespace cs::tpm {

namespace {

constexpr std::size_t weakest_digest = 28;  // SHA-224: as security level 2 for chains

struct KnownAttribute {
  std::string_view id;
  std::string_view name;
};
constexpr std::string_view credential_type = "2.23.133.2.25";
constexpr std::string_view base_type = "2.23.133.8.2";
constexpr std::string_view delta_type = "2.23.133.8.5";
constexpr std::array known_attributes{
    KnownAttribute{"2.23.133.2.17", "tcgPlatformSpecification"},
    KnownAttribute{"2.23.133.2.18", "tpmSecurityAssertions"},
    KnownAttribute{"2.23.133.2.19", "tBBSecurityAssertions"},
    KnownAttribute{"2.23.133.2.23", "tcgCredentialSpecification"},
    KnownAttribute{credential_type, "tcgCredentialType"},
    KnownAttribute{"2.23.133.5.1.1", "platformManufacturerStr"},
    KnownAttribute{"2.23.133.5.1.2", "platformManufacturerId"},
    KnownAttribute{"2.23.133.5.1.3", "platformConfigUri"},
    KnownAttribute{"2.23.133.5.1.7.1", "platformConfiguration"},
    KnownAttribute{"2.23.133.5.1.7.2", "platformConfiguration v2"},
};

Error wrong(std::string why) {
  return {ErrorKind::invalid, "the attribute certificate: " + std::move(why)};
}

const X509_NAME* only_directory_name(const GENERAL_NAMES* names) {
  return sk_GENERAL_NAME_num(names) == 1 ? directory_name(names) : nullptr;
}

std::string attribute_text(X509_ATTRIBUTE* attribute) {
  std::string text = text_of(X509_ATTRIBUTE_get0_object(attribute));
  const auto* const known = std::ranges::find(known_attributes, text, &KnownAttribute::id);
  return known == known_attributes.end() ? text : text + " " + std::string(known->name);
}

void free_credential_type(rfc5755::CredentialType* value) {
  ASN1_item_free(reinterpret_cast<ASN1_VALUE*>(value), ASN1_ITEM_rptr(rfc5755::CredentialType));
}

// What kind of certificate the attribute says it is; "?" where it does not say so legibly.
std::string credential_type_of(X509_ATTRIBUTE* attribute) {
  if (X509_ATTRIBUTE_count(attribute) != 1) return "?";
  const Openssl<rfc5755::CredentialType, free_credential_type> value(
      static_cast<rfc5755::CredentialType*>(ASN1_TYPE_unpack_sequence(
          ASN1_ITEM_rptr(rfc5755::CredentialType), X509_ATTRIBUTE_get0_type(attribute, 0))));
  return value ? text_of(value->certificate_type) : "?";
}

const X509_NAME* holder_name(const rfc5755::Info& info) {
  const rfc5755::IssuerSerial* const id = info.holder->base_certificate_id;
  return id == nullptr ? nullptr : only_directory_name(id->issuer);
}

void read_alternative_names(const rfc5755::Info& info, AttributeCertificateFields& fields) {
  const Openssl<GENERAL_NAMES, GENERAL_NAMES_free> names(static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(info.extensions, NID_subject_alt_name, nullptr, nullptr)));
  const X509_NAME* const platform = directory_name(names.get());
  const auto either = [&](const char* now, const char* before) {
    std::string text = entry_of(platform, now);
    return text.empty() ? entry_of(platform, before) : text;
  };
  fields.manufacturer = either("2.23.133.5.1.1", "2.23.133.2.4");  // the second: profile 1.0
  fields.model = either("2.23.133.5.1.4", "2.23.133.2.5");
  fields.version = either("2.23.133.5.1.5", "2.23.133.2.6");
  fields.platform_serial = entry_of(platform, "2.23.133.5.1.6");
}

AttributeCertificateFields fields_of(const rfc5755::Info& info) {
  AttributeCertificateFields fields;
  if (const X509_NAME* const holder = holder_name(info); holder != nullptr) {
    fields.holder_issuer = text_of(holder);
    fields.holder_serial = hex_of(info.holder->base_certificate_id->serial);
  }
  fields.issuer = text_of(only_directory_name(info.issuer->name));
  fields.serial = hex_of(info.serial);
  fields.not_before = text_of_time(info.validity->not_before);
  fields.not_after = text_of_time(info.validity->not_after);
  read_alternative_names(info, fields);
  for (int i = 0; i < sk_X509_ATTRIBUTE_num(info.attributes); ++i) {
    X509_ATTRIBUTE* const attribute = sk_X509_ATTRIBUTE_value(info.attributes, i);
    fields.attributes.push_back(attribute_text(attribute));
    if (fields.attributes.back().starts_with(credential_type)) {
      fields.credential_type = credential_type_of(attribute);
    }
  }
  return fields;
}

// Profile 1.0 had no such attribute.
Check check_type(const AttributeCertificateFields& fields) {
  constexpr std::string_view code = "base_certificate";
  if (fields.is_delta()) {
    return fails(code, "it is a delta platform certificate, which is not supported");
  }
  if (fields.credential_type.empty() || fields.credential_type == base_type) {
    return holds(code, "it is a platform certificate of its own");
  }
  return fails(code,
               "it is a certificate of a kind that is not known here: " + fields.credential_type);
}

Check check_validity(const rfc5755::Validity& validity, const AttributeCertificateFields& fields,
                     const Clock& clock) {
  constexpr std::string_view code = "validity";
  std::time_t now = to_time_t(clock.wall());
  const int begun = X509_cmp_time(validity.not_before, &now);
  const int over = X509_cmp_time(validity.not_after, &now);
  if (begun == 0 || over == 0) return fails(code, "its time of validity is written wrongly");
  if (begun > 0) return fails(code, "not valid before " + fields.not_before);
  if (over < 0) return fails(code, "expired " + fields.not_after);
  return holds(code, "valid until " + fields.not_after);
}

// A policy tells the rules that a certificate was issued under; nobody asks for one here, nor does
// OpenSSL for chains. Targeting (2.5.29.55) restricts who may use it, and is not known.
bool is_known(int extension) {
  return extension == NID_subject_alt_name || extension == NID_authority_key_identifier ||
         extension == NID_certificate_policies;
}

Check check_extensions(const STACK_OF(X509_EXTENSION) * extensions) {
  constexpr std::string_view code = "critical_extension";
  for (int i = 0; i < sk_X509_EXTENSION_num(extensions); ++i) {
    X509_EXTENSION* const extension = sk_X509_EXTENSION_value(extensions, i);
    const int id = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    if (X509_EXTENSION_get_critical(extension) == 1 && !is_known(id)) {
      return fails(code, "it has the critical extension " +
                             text_of(X509_EXTENSION_get_object(extension)) +
                             ", which is not known here");
    }
  }
  return holds(code, "it has no critical extension that is not known here");
}

// The digest of a signature algorithm; nothing for one that has its own, as Ed25519 has.
std::optional<int> digest_of(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* object = nullptr;
  int type = 0;
  const void* parameters = nullptr;
  X509_ALGOR_get0(&object, &type, &parameters, algorithm);
  int digest = NID_undef;
  if (OBJ_obj2nid(object) == NID_rsassaPss) {
    if (type != V_ASN1_SEQUENCE) return NID_sha1;  // the default of its parameters
    const Openssl<RSA_PSS_PARAMS, RSA_PSS_PARAMS_free> pss(
        static_cast<RSA_PSS_PARAMS*>(ASN1_item_unpack(static_cast<const ASN1_STRING*>(parameters),
                                                      ASN1_ITEM_rptr(RSA_PSS_PARAMS))));
    if (!pss || pss->hashAlgorithm == nullptr) return NID_sha1;
    return OBJ_obj2nid(pss->hashAlgorithm->algorithm);
  }
  if (OBJ_find_sigid_algs(OBJ_obj2nid(object), &digest, nullptr) != 1) return NID_sha1;
  if (digest == NID_undef) return {};
  return digest;
}

}  // namespace

bool AttributeCertificateFields::is_delta() const noexcept {
  return credential_type == delta_type;
}

void AttributeCertificate::Free::operator()(rfc5755::Certificate* certificate) const noexcept {
  ASN1_item_free(reinterpret_cast<ASN1_VALUE*>(certificate), ASN1_ITEM_rptr(rfc5755::Certificate));
}

Result<void> AttributeCertificate::check_form() const {
  const rfc5755::Info& info = *decoded_->info;
  if (ASN1_INTEGER_get(info.version) != 1) return wrong("it is not of version 2");
  if (only_directory_name(info.issuer->name) == nullptr) {
    return wrong("its issuer is not one directory name");
  }
  if (X509_ALGOR_cmp(info.algorithm, decoded_->algorithm) != 0) {
    return wrong("its two statements of the signature's algorithm differ");
  }
  return {};
}

Result<AttributeCertificate> AttributeCertificate::parse(ByteView der) {
  AttributeCertificate certificate;
  const unsigned char* at = der.data();
  certificate.decoded_.reset(reinterpret_cast<rfc5755::Certificate*>(ASN1_item_d2i(
      nullptr, &at, static_cast<long>(der.size()), ASN1_ITEM_rptr(rfc5755::Certificate))));
  if (!certificate.decoded_) {
    return openssl_error(ErrorKind::invalid, "the attribute certificate does not parse");
  }
  if (at != der.data() + der.size()) return wrong("bytes follow after it");
  CS_CHECK(certificate.check_form());
  certificate.fields_ = fields_of(*certificate.decoded_->info);
  ERR_clear_error();
  certificate.fields_.fingerprint = Hasher(HashAlgorithm::sha256).hash({der}).hex();
  return certificate;
}

bool AttributeCertificate::is_held_by(const Certificate& endorsement) const noexcept {
  const rfc5755::Info& info = *decoded_->info;
  const X509_NAME* const name = holder_name(info);
  return name != nullptr && X509_NAME_cmp(name, X509_get_issuer_name(endorsement.x509())) == 0 &&
         ASN1_INTEGER_cmp(info.holder->base_certificate_id->serial,
                          X509_get0_serialNumber(endorsement.x509())) == 0;
}

bool AttributeCertificate::names_as_issuer(const Certificate& issuer) const noexcept {
  return X509_NAME_cmp(only_directory_name(decoded_->info->issuer->name),
                       X509_get_subject_name(issuer.x509())) == 0;
}

bool AttributeCertificate::is_signed_by(evp_pkey_st* issuer_key) const noexcept {
  const int verified = ASN1_item_verify(ASN1_ITEM_rptr(rfc5755::Info), decoded_->algorithm,
                                        decoded_->signature, decoded_->info, issuer_key);
  ERR_clear_error();
  return verified == 1;
}

Findings AttributeCertificate::check(const Clock& clock) const {
  const rfc5755::Info& info = *decoded_->info;
  Findings findings;
  findings.add(check_type(fields_));
  findings.add(check_validity(*info.validity, fields_, clock));
  findings.add(check_extensions(info.extensions));
  return findings;
}

Check AttributeCertificate::check_strength() const {
  constexpr std::string_view code = "signature_digest";
  const auto digest = digest_of(decoded_->algorithm);
  ERR_clear_error();
  if (!digest) return holds(code, "its signature algorithm has a strong digest of its own");
  const EVP_MD* const algorithm = EVP_get_digestbynid(*digest);
  if (algorithm != nullptr &&
      static_cast<std::size_t>(EVP_MD_get_size(algorithm)) >= weakest_digest) {
    return holds(code, std::string("it is signed with ") + OBJ_nid2sn(*digest));
  }
  const char* const name = OBJ_nid2sn(*digest);
  return fails(code, std::string("it is signed with ") + (name == nullptr ? "?" : name) +
                         ", which is too weak");
}

}  // namespace cs::tpm
