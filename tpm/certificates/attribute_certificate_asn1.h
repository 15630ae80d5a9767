// SPDX-License-Identifier: GPL-3.0-or-later
// Attribute certificates of version 2 as RFC 5755 writes them, for OpenSSL's decoder: OpenSSL 3.0
// has none. Only for attribute_certificate.cpp.
#pragma once

#include <openssl/asn1t.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace cs::tpm::rfc5755 {

struct IssuerSerial {
  GENERAL_NAMES* issuer;
  ASN1_INTEGER* serial;
  ASN1_BIT_STRING* issuer_uid;
};

struct Holder {
  IssuerSerial* base_certificate_id;
  GENERAL_NAMES* entity_name;
  ASN1_SEQUENCE_ANY* object_digest_info;
};

// The v2Form of AttCertIssuer; version 2 has no other.
struct Issuer {
  GENERAL_NAMES* name;
  IssuerSerial* base_certificate_id;
  ASN1_SEQUENCE_ANY* object_digest_info;
};

struct Validity {
  ASN1_GENERALIZEDTIME* not_before;
  ASN1_GENERALIZEDTIME* not_after;
};

struct Info {
  ASN1_ENCODING encoding;  // as it came: what the signature is over
  ASN1_INTEGER* version;
  Holder* holder;
  Issuer* issuer;
  X509_ALGOR* algorithm;
  ASN1_INTEGER* serial;
  Validity* validity;
  STACK_OF(X509_ATTRIBUTE) * attributes;
  ASN1_BIT_STRING* issuer_uid;
  STACK_OF(X509_EXTENSION) * extensions;
};

struct Certificate {
  Info* info;
  X509_ALGOR* algorithm;
  ASN1_BIT_STRING* signature;
};

// TCGCredentialType, the value of an attribute of the TCG's.
struct CredentialType {
  ASN1_OBJECT* certificate_type;
};

DECLARE_ASN1_ITEM(CredentialType)
DECLARE_ASN1_ITEM(Info)
DECLARE_ASN1_ITEM(Certificate)

}  // namespace cs::tpm::rfc5755
