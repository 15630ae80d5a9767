// SPDX-License-Identifier: GPL-3.0-or-later
// This gateway's end of a TLS connection: a key on P-256, and a certificate that it signed itself.
// What the certificate is worth says the attestation key, in an endpoint statement.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "base/openssl.h"
#include "keyms/carrier/service_protocol.h"

namespace cs::keyms::carrier {

using Key = Openssl<EVP_PKEY, EVP_PKEY_free>;
using Certificate = Openssl<X509, X509_free>;

// Whole seconds; both included.
struct Validity {
  WallTime not_before;
  WallTime not_after;
};
Result<OwnEndpoint> make_endpoint(std::string_view ne_id, const Validity& validity);

// What make_endpoint() made, as OpenSSL has it. Refused: a key that is not the certificate's.
struct LoadedEndpoint {
  Certificate certificate;
  Key key;
};
Result<LoadedEndpoint> load_endpoint(const OwnEndpoint& endpoint);

// Of a key on P-256: so that it is the one kind we accept.
[[nodiscard]] bool is_p256(const EVP_PKEY* key);
// SHA-256 of a certificate's DER, by which endpoint statements name it.
[[nodiscard]] Hash hash_of(ByteView certificate);

}  // namespace cs::keyms::carrier
