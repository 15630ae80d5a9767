// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/session_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "base/openssl.h"

namespace cs::keyms {
namespace {

using Key = Openssl<EVP_PKEY, EVP_PKEY_free>;

Error failed() {
  return openssl_error(ErrorKind::internal, "making a session key");
}

Result<MadeKey> p256_key() {
  const Key key(EVP_EC_gen("P-256"));
  BIGNUM* number = nullptr;
  if (!key || EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_PRIV_KEY, &number) != 1)
    return failed();
  const Openssl<BIGNUM, BN_clear_free> scalar(number);
  CS_TRY(SecretBytes secret, SecretBytes::create(private_key_size));
  MadeKey made{std::move(secret), std::vector<std::uint8_t>(public_key_size(Suite::p256_node16))};
  std::size_t size = 0;
  if (BN_bn2binpad(scalar.get(), made.private_part.bytes().data(),
                   static_cast<int>(private_key_size)) != static_cast<int>(private_key_size) ||
      EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_PUB_KEY, made.public_key.data(),
                                      made.public_key.size(), &size) != 1 ||
      size != made.public_key.size()) {
    return failed();
  }
  return made;
}

Result<MadeKey> ed25519_key() {
  const Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  CS_TRY(SecretBytes secret, SecretBytes::create(private_key_size));
  MadeKey made{std::move(secret),
               std::vector<std::uint8_t>(public_key_size(Suite::ed25519_node16))};
  std::size_t private_size = made.private_part.size();
  std::size_t public_size = made.public_key.size();
  if (!key ||
      EVP_PKEY_get_raw_private_key(key.get(), made.private_part.bytes().data(), &private_size) !=
          1 ||
      EVP_PKEY_get_raw_public_key(key.get(), made.public_key.data(), &public_size) != 1) {
    return failed();
  }
  return made;
}

}  // namespace

Result<MadeKey> make_session_key(Suite suite) {
  return suite == Suite::p256_node16 || suite == Suite::p256_node32 ? p256_key() : ed25519_key();
}

}  // namespace cs::keyms
