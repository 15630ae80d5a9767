// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/attribute_certificate_asn1.h"

// The macros are OpenSSL's, with the casts of C in them. NOLINTBEGIN
namespace cs::tpm::rfc5755 {

DECLARE_ASN1_ITEM(IssuerSerial)
DECLARE_ASN1_ITEM(Holder)
DECLARE_ASN1_ITEM(Issuer)
DECLARE_ASN1_ITEM(Validity)

// clang-format off
ASN1_SEQUENCE(IssuerSerial) = {
    ASN1_SEQUENCE_OF(IssuerSerial, issuer, GENERAL_NAME),
    ASN1_SIMPLE(IssuerSerial, serial, ASN1_INTEGER),
    ASN1_OPT(IssuerSerial, issuer_uid, ASN1_BIT_STRING),
} ASN1_SEQUENCE_END(IssuerSerial)

ASN1_SEQUENCE(Holder) = {
    ASN1_IMP_OPT(Holder, base_certificate_id, IssuerSerial, 0),
    ASN1_IMP_SEQUENCE_OF_OPT(Holder, entity_name, GENERAL_NAME, 1),
    ASN1_IMP_OPT(Holder, object_digest_info, ASN1_SEQUENCE_ANY, 2),
} ASN1_SEQUENCE_END(Holder)

ASN1_SEQUENCE(Issuer) = {
    ASN1_SEQUENCE_OF_OPT(Issuer, name, GENERAL_NAME),
    ASN1_IMP_OPT(Issuer, base_certificate_id, IssuerSerial, 0),
    ASN1_IMP_OPT(Issuer, object_digest_info, ASN1_SEQUENCE_ANY, 1),
} ASN1_SEQUENCE_END(Issuer)

ASN1_SEQUENCE(Validity) = {
    ASN1_SIMPLE(Validity, not_before, ASN1_GENERALIZEDTIME),
    ASN1_SIMPLE(Validity, not_after, ASN1_GENERALIZEDTIME),
} ASN1_SEQUENCE_END(Validity)

ASN1_SEQUENCE_enc(Info, encoding, nullptr) = {
    ASN1_SIMPLE(Info, version, ASN1_INTEGER),
    ASN1_SIMPLE(Info, holder, Holder),
    ASN1_IMP(Info, issuer, Issuer, 0),
    ASN1_SIMPLE(Info, algorithm, X509_ALGOR),
    ASN1_SIMPLE(Info, serial, ASN1_INTEGER),
    ASN1_SIMPLE(Info, validity, Validity),
    ASN1_SEQUENCE_OF(Info, attributes, X509_ATTRIBUTE),
    ASN1_OPT(Info, issuer_uid, ASN1_BIT_STRING),
    ASN1_SEQUENCE_OF_OPT(Info, extensions, X509_EXTENSION),
} ASN1_SEQUENCE_END_enc(Info, Info)

ASN1_SEQUENCE(Certificate) = {
    ASN1_SIMPLE(Certificate, info, Info),
    ASN1_SIMPLE(Certificate, algorithm, X509_ALGOR),
    ASN1_SIMPLE(Certificate, signature, ASN1_BIT_STRING),
} ASN1_SEQUENCE_END(Certificate)

ASN1_SEQUENCE(CredentialType) = {
    ASN1_SIMPLE(CredentialType, certificate_type, ASN1_OBJECT),
} ASN1_SEQUENCE_END(CredentialType)

// clang-format on
}  // namespace cs::tpm::rfc5755
// NOLINTEND
