// SPDX-License-Identifier: GPL-3.0-or-later
// A stranger's own TLS at a network worker's port.
#pragma once

#include <openssl/ssl.h>

#include <vector>

#include "keyms/carrier/endpoint.h"
#include "keyms/carrier/tls_context.h"
#include "tests/support/unwrap.h"

namespace cs::test {

using Context = Openssl<SSL_CTX, SSL_CTX_free>;

// A client as it should be, for one thing to be changed in it.
inline Context client(const keyms::carrier::OwnEndpoint* endpoint) {
  Context context(SSL_CTX_new(TLS_client_method()));
  const unsigned char protocol[] =
      "\x0d"
      "countersign/1";
  SSL_CTX_set_alpn_protos(context.get(), protocol, sizeof(protocol) - 1);
  if (endpoint != nullptr) {
    const auto loaded = get(load_endpoint(*endpoint));
    SSL_CTX_use_certificate(context.get(), loaded.certificate.get());
    SSL_CTX_use_PrivateKey(context.get(), loaded.key.get());
  }
  return context;
}

// What a client says first.
inline std::vector<std::uint8_t> client_hello() {
  const Context context = client(nullptr);
  const keyms::carrier::Tls tls(SSL_new(context.get()));
  SSL_set_bio(tls.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_connect(tls.get());
  std::vector<std::uint8_t> words(4096);
  words.resize(static_cast<std::size_t>(
      BIO_read(SSL_get_wbio(tls.get()), words.data(), static_cast<int>(words.size()))));
  return words;
}

}  // namespace cs::test
