// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/gcm.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <limits>

#include "base/openssl.h"

namespace cs::tpm {

namespace {

using Context = Openssl<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;

// Key, nonce and associated data.
bool begin(EVP_CIPHER_CTX* context, const GcmMessage& message, int encrypt) {
  int ignored = 0;
  return context != nullptr &&
         EVP_CipherInit_ex(context, EVP_aes_256_gcm(), nullptr, message.key.bytes().data(),
                           message.nonce.data(), encrypt) == 1 &&
         EVP_CipherUpdate(context, nullptr, &ignored, message.associated.data(),
                          static_cast<int>(message.associated.size())) == 1;
}

bool update(EVP_CIPHER_CTX* context, ByteView in, ByteSpan out) {
  int written = 0;
  return in.empty() || EVP_CipherUpdate(context, out.data(), &written, in.data(),
                                        static_cast<int>(in.size())) == 1;
}

Result<void> check(const GcmMessage& message, ByteView in, ByteView out, ByteView tag) {
  const bool fits = message.key.size() == gcm_key_size && message.nonce.size() == gcm_nonce_size &&
                    tag.size() == gcm_tag_size && in.size() == out.size() &&
                    in.size() <= std::numeric_limits<int>::max() &&
                    message.associated.size() <= std::numeric_limits<int>::max();
  if (fits) return {};
  return Error(ErrorKind::internal, "AES-256-GCM with parts of the wrong size");
}

}  // namespace

Result<void> gcm_encrypt(const GcmMessage& message, ByteView plain, ByteSpan ciphertext,
                         ByteSpan tag) {
  CS_CHECK(check(message, plain, ciphertext, tag));
  const Context context(EVP_CIPHER_CTX_new());
  int none = 0;
  std::array<std::uint8_t, gcm_tag_size> end{};
  if (begin(context.get(), message, 1) && update(context.get(), plain, ciphertext) &&
      EVP_CipherFinal_ex(context.get(), end.data(), &none) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, gcm_tag_size, tag.data()) == 1) {
    return {};
  }
  return openssl_error(ErrorKind::internal, "encrypting with AES-256-GCM");
}

Result<void> gcm_decrypt(const GcmMessage& message, ByteView ciphertext, ByteView tag,
                         ByteSpan plain) {
  CS_CHECK(check(message, ciphertext, plain, tag));
  const Context context(EVP_CIPHER_CTX_new());
  int none = 0;
  std::array<std::uint8_t, gcm_tag_size> end{};
  std::array<std::uint8_t, gcm_tag_size> expected{};
  std::ranges::copy(tag, expected.begin());
  if (begin(context.get(), message, 0) && update(context.get(), ciphertext, plain) &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, gcm_tag_size, expected.data()) ==
          1 &&
      EVP_CipherFinal_ex(context.get(), end.data(), &none) == 1) {
    return {};
  }
  OPENSSL_cleanse(plain.data(), plain.size());
  ERR_clear_error();
  return Error(ErrorKind::unverified, "the data were changed, or are not of this key");
}

}  // namespace cs::tpm
