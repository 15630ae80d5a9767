// SPDX-License-Identifier: GPL-3.0-or-later
// OpenSSL's values as printable ASCII. For the .cpp files that read certificates.
#pragma once

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <string>

#include "base/openssl.h"

namespace cs::tpm {

[[nodiscard]] std::string text_of(const asn1_string_st* value);
[[nodiscard]] std::string text_of(const X509_NAME* name);       // "C=DE, O=Infineon, CN=…"
[[nodiscard]] std::string text_of(const ASN1_OBJECT* object);   // "2.23.133.8.1"
[[nodiscard]] std::string text_of_time(const ASN1_TIME* time);  // RFC 3339; empty if it is none
[[nodiscard]] std::string hex_of(const ASN1_INTEGER* number);

// The value of the entry with this object identifier; empty where there is none.
[[nodiscard]] std::string entry_of(const X509_NAME* name, const char* object);
// Common name, or all of it; empty for the empty name.
[[nodiscard]] std::string short_name(const X509_NAME* name);
// The first directory name among them; null where there is none. Owned by `names`.
[[nodiscard]] const X509_NAME* directory_name(const GENERAL_NAMES* names);

}  // namespace cs::tpm
