// SPDX-License-Identifier: GPL-3.0-or-later
// HMAC-SHA-256 (RFC 2104) and HKDF on it (RFC 5869). Who includes this links OpenSSL.
#pragma once

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/openssl.h"
#include "base/secret.h"

namespace cs {

inline constexpr std::size_t hmac_size = 32;
using Hmac = std::array<std::uint8_t, hmac_size>;

// Of the parts, one after the other, into `out`, which has hmac_size bytes.
[[nodiscard]] inline Result<void> hmac_sha256(ByteView key, std::initializer_list<ByteView> parts,
                                              ByteSpan out) {
  const auto failed = [] { return openssl_error(ErrorKind::internal, "computing an HMAC"); };
  const Openssl<EVP_MAC, EVP_MAC_free> mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  const Openssl<EVP_MAC_CTX, EVP_MAC_CTX_free> state(mac ? EVP_MAC_CTX_new(mac.get()) : nullptr);
  std::string digest = "SHA256";
  const std::array parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_end()};
  if (!state || EVP_MAC_init(state.get(), key.data(), key.size(), parameters.data()) != 1)
    return failed();
  for (const ByteView part : parts) {
    if (EVP_MAC_update(state.get(), part.data(), part.size()) != 1) return failed();
  }
  std::size_t size = 0;
  if (EVP_MAC_final(state.get(), out.data(), &size, out.size()) != 1 || size != hmac_size)
    return failed();
  return {};
}

[[nodiscard]] inline Result<SecretBytes> hkdf_extract(ByteView salt, ByteView material) {
  static constexpr Hmac none{};  // stands for no salt
  CS_TRY(SecretBytes out, SecretBytes::create(hmac_size));
  CS_CHECK(hmac_sha256(salt.empty() ? ByteView(none) : salt, {material}, out.bytes()));
  return out;
}

// At most hmac_size bytes, which is one step of HKDF.
[[nodiscard]] inline Result<SecretBytes> hkdf_expand(ByteView pseudorandom, std::string_view label,
                                                     std::size_t size) {
  if (size > hmac_size) return Error(ErrorKind::limit, "deriving a key of more than 32 bytes");
  const ByteView info(reinterpret_cast<const std::uint8_t*>(label.data()), label.size());
  const std::array<std::uint8_t, 1> first{1};
  CS_TRY(SecretBytes block, SecretBytes::create(hmac_size));
  CS_CHECK(hmac_sha256(pseudorandom, {info, first}, block.bytes()));
  return SecretBytes::copy_of(block.bytes().first(size));
}

}  // namespace cs
