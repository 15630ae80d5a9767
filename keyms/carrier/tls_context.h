// SPDX-License-Identifier: GPL-3.0-or-later
// TLS as a carrier wants it: 1.3 only, both ends with a certificate, no tickets, no shared keys, no
// early data. Which certificate is acceptable is not TLS's to say: any one will do that is of a key
// on P-256, and the session's hello must then vouch for it.
#pragma once

#include <openssl/ssl.h>

#include "base/openssl.h"
#include "keyms/carrier/endpoint.h"
#include "keyms/carrier/refusal.h"

namespace cs::keyms::carrier {

using Tls = Openssl<SSL, SSL_free>;

class TlsContext {
 public:
  static Result<TlsContext> create(const OwnEndpoint& endpoint);

  // A connection's TLS. While it shakes hands, what it finds wrong goes to `why`, which must
  // outlive it; until then `why` is what it was.
  [[nodiscard]] Result<Tls> start(int fd, bool as_client, Refusal& why) const;

 private:
  using Context = Openssl<SSL_CTX, SSL_CTX_free>;
  explicit TlsContext(Context context) : context_(std::move(context)) {}
  Context context_;
};

}  // namespace cs::keyms::carrier
