// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/kdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <array>
#include <string>
#include <vector>

#include "base/openssl.h"

namespace cs::tpm {

namespace {

using Kdf = Openssl<EVP_KDF, EVP_KDF_free>;
using Context = Openssl<EVP_KDF_CTX, EVP_KDF_CTX_free>;

OSSL_PARAM octets(const char* name, ByteView bytes) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): OpenSSL only reads what it is given
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()),
                                           bytes.size());
}
OSSL_PARAM text(const char* name, std::string& value) {
  return OSSL_PARAM_construct_utf8_string(name, value.data(), value.size());
}

std::vector<std::uint8_t> join(std::initializer_list<ByteView> parts) {
  std::vector<std::uint8_t> all;
  for (const ByteView part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

ByteView bytes_of(std::string_view label) {
  return {reinterpret_cast<const std::uint8_t*>(label.data()), label.size()};
}

Result<SecretBytes> derive(const char* function, const OSSL_PARAM* parameters, std::size_t size) {
  CS_TRY(SecretBytes out, SecretBytes::create(size));
  const Kdf kdf(EVP_KDF_fetch(nullptr, function, nullptr));
  const Context context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  if (!context || EVP_KDF_derive(context.get(), out.bytes().data(), out.size(), parameters) != 1) {
    return openssl_error(ErrorKind::internal, "deriving a key");
  }
  return out;
}

}  // namespace

Result<SecretBytes> kdfa(HashAlgorithm hash, const SecretBytes& key, const KdfContext& context,
                         std::size_t size) {
  std::string mode = "counter";
  std::string mac = "HMAC";
  std::string digest(to_string(hash));
  const auto both = join({context.u, context.v});
  const std::array parameters{text(OSSL_KDF_PARAM_MODE, mode),
                              text(OSSL_KDF_PARAM_MAC, mac),
                              text(OSSL_KDF_PARAM_DIGEST, digest),
                              octets(OSSL_KDF_PARAM_KEY, key.bytes()),
                              octets(OSSL_KDF_PARAM_SALT, bytes_of(context.label)),
                              octets(OSSL_KDF_PARAM_INFO, both),
                              OSSL_PARAM_construct_end()};
  return derive("KBKDF", parameters.data(), size);
}

Result<SecretBytes> kdfe(HashAlgorithm hash, const SecretBytes& z, const KdfContext& context,
                         std::size_t size) {
  std::string digest(to_string(hash));
  constexpr std::array<std::uint8_t, 1> end_of_label{0};
  const auto info = join({bytes_of(context.label), end_of_label, context.u, context.v});
  const std::array parameters{text(OSSL_KDF_PARAM_DIGEST, digest),
                              octets(OSSL_KDF_PARAM_KEY, z.bytes()),
                              octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
  return derive("SSKDF", parameters.data(), size);
}

}  // namespace cs::tpm
