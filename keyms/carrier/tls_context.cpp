// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/tls_context.h"

#include <array>

namespace cs::keyms::carrier {

namespace {

constexpr std::string_view protocol = "countersign/1";
// As ALPN has it: a length, then the name.
constexpr std::array<unsigned char, 14> protocols{13,  'c', 'o', 'u', 'n', 't', 'e',
                                                  'r', 's', 'i', 'g', 'n', '/', '1'};
static_assert(protocols.size() == protocol.size() + 1);

void blame(const SSL* tls, Refusal why) {
  *static_cast<Refusal*>(SSL_get_app_data(tls)) = why;
}

bool offers(SSL* tls, unsigned extension) {
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  return SSL_client_hello_get0_ext(tls, extension, &bytes, &size) == 1;
}

bool offers_tls13(SSL* tls) {
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(tls, TLSEXT_TYPE_supported_versions, &bytes, &size) != 1)
    return false;
  ByteReader versions(ByteView(bytes, size));
  std::uint8_t length = 0;
  std::uint16_t version = 0;
  if (!versions.u8(length)) return false;
  while (versions.u16be(version)) {
    if (version == TLS1_3_VERSION) return true;
  }
  return false;
}

// Before any arithmetic: what can be seen in the first message.
int look_at_client_hello(SSL* tls, int* alert, void* /*unused*/) {
  if (!offers_tls13(tls)) {
    blame(tls, Refusal::tls_version);
    *alert = SSL_AD_PROTOCOL_VERSION;
    return SSL_CLIENT_HELLO_ERROR;
  }
  if (offers(tls, TLSEXT_TYPE_psk) || offers(tls, TLSEXT_TYPE_early_data)) {
    blame(tls, Refusal::resumption);
    *alert = SSL_AD_HANDSHAKE_FAILURE;
    return SSL_CLIENT_HELLO_ERROR;
  }
  if (!offers(tls, TLSEXT_TYPE_application_layer_protocol_negotiation)) {
    blame(tls, Refusal::alpn);
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
  }
  return SSL_CLIENT_HELLO_SUCCESS;
}

int choose_protocol(SSL* tls, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* offered, unsigned offered_size, void* /*unused*/) {
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, size, protocols.data(), protocols.size(), offered,
                            offered_size) == OPENSSL_NPN_NEGOTIATED) {
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
  }
  blame(tls, Refusal::alpn);
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// In the place of what would look for a chain.
int judge_certificate(X509_STORE_CTX* verification, void* /*unused*/) {
  const auto* const tls = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const X509* const certificate = X509_STORE_CTX_get0_cert(verification);
  const STACK_OF(X509)* const all = X509_STORE_CTX_get0_untrusted(verification);
  if (sk_X509_num(all) == 1 && certificate != nullptr && is_p256(X509_get0_pubkey(certificate)))
    return 1;
  blame(tls, Refusal::certificate);
  X509_STORE_CTX_set_error(verification, X509_V_ERR_CERT_REJECTED);
  return 0;
}

Result<void> allow_only(SSL_CTX* context) {
  constexpr std::uint64_t none_of = SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                    SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE;
  SSL_CTX_set_options(context, none_of);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(context, max_certificate);
  if (SSL_CTX_set_num_tickets(context, 0) != 1 || SSL_CTX_set_max_early_data(context, 0) != 1 ||
      SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context,
                               "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                               "TLS_AES_128_GCM_SHA256") != 1 ||
      SSL_CTX_set1_groups_list(context, "X25519:P-256") != 1 ||
      SSL_CTX_set1_sigalgs_list(context, "ECDSA+SHA256") != 1 ||
      SSL_CTX_set_alpn_protos(context, protocols.data(), protocols.size()) != 0) {
    return openssl_error(ErrorKind::internal, "setting up TLS");
  }
  return {};
}

}  // namespace

Result<TlsContext> TlsContext::create(const OwnEndpoint& endpoint) {
  CS_TRY(const LoadedEndpoint loaded, load_endpoint(endpoint));
  Context context(SSL_CTX_new(TLS_method()));
  if (!context) return openssl_error(ErrorKind::internal, "setting up TLS");
  CS_CHECK(allow_only(context.get()));
  if (SSL_CTX_use_certificate(context.get(), loaded.certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), loaded.key.get()) != 1) {
    return openssl_error(ErrorKind::invalid, "taking an endpoint's certificate for TLS");
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context.get(), judge_certificate, nullptr);
  SSL_CTX_set_client_hello_cb(context.get(), look_at_client_hello, nullptr);
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  return TlsContext(std::move(context));
}

Result<Tls> TlsContext::start(int fd, bool as_client, Refusal& why) const {
  Tls tls(SSL_new(context_.get()));
  if (!tls || SSL_set_fd(tls.get(), fd) != 1 || SSL_set_app_data(tls.get(), &why) != 1)
    return openssl_error(ErrorKind::limit, "starting TLS");
  if (as_client) {
    SSL_set_connect_state(tls.get());
  } else {
    SSL_set_accept_state(tls.get());
  }
  return tls;
}

}  // namespace cs::keyms::carrier
