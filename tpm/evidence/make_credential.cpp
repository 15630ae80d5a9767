// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/make_credential.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <array>
#include <string>
#include <utility>

#include "base/byte_writer.h"
#include "base/openssl.h"
#include "tpm/evidence/kdf.h"
#include "tpm/evidence/public_key.h"

namespace cs::tpm {

namespace {

using Bn = Openssl<BIGNUM, BN_free>;
using Key = Openssl<EVP_PKEY, EVP_PKEY_free>;
using KeyContext = Openssl<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using CipherContext = Openssl<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;

constexpr std::size_t most_credential = 1024;
constexpr std::size_t size_of_handle = 4;
constexpr std::string_view identity = "IDENTITY";

// What both sides derive the keys of the credential from, and how it travels.
struct Seed {
  SecretBytes bytes;
  Bytes encrypted;
};

Error failed(const std::string& doing) {
  return openssl_error(ErrorKind::internal, "making a credential: " + doing);
}

Error refused(const std::string& why) {
  return {ErrorKind::invalid, "making a credential: " + why};
}

Result<void> check(const PublicArea& key, const Name& object, const SecretBytes& secret) {
  const bool is_storage_key =
      (key.attributes & (attribute::restricted | attribute::decrypt | attribute::sign)) ==
      (attribute::restricted | attribute::decrypt);
  if (!is_storage_key) return refused("the endorsement key is no storage key");
  if (key.symmetric.algorithm != Algorithm::aes || key.symmetric.mode != Algorithm::cfb ||
      (key.symmetric.bits != 128 && key.symmetric.bits != 256)) {
    return refused("the endorsement key does not protect by AES-128 or AES-256 in CFB mode");
  }
  if (key.name_algorithm != HashAlgorithm::sha256 && key.name_algorithm != HashAlgorithm::sha384 &&
      key.name_algorithm != HashAlgorithm::sha512) {
    return refused("the endorsement key has a Name by " +
                   std::string(to_string(key.name_algorithm)));
  }
  if (object.bytes.size() <= size_of_handle) return refused("the object has no Name of a digest");
  if (secret.size() > digest_size(key.name_algorithm)) {
    return refused("a secret of " + std::to_string(secret.size()) + " bytes, at most " +
                   std::to_string(digest_size(key.name_algorithm)));
  }
  return {};
}

// The label with the zero that ends it; OpenSSL frees it.
bool set_label(EVP_PKEY_CTX* context) {
  const std::string label(identity.data(), identity.size() + 1);
  void* copy = OPENSSL_memdup(label.data(), label.size());
  if (copy == nullptr) return false;
  if (EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, static_cast<int>(label.size())) == 1) {
    return true;
  }
  OPENSSL_free(copy);
  return false;
}

Result<Seed> rsa_seed(const PublicKey& key, HashAlgorithm hash) {
  CS_TRY(SecretBytes seed, SecretBytes::create(digest_size(hash)));
  const std::string digest(to_string(hash));
  const KeyContext context(EVP_PKEY_CTX_new(key.openssl(), nullptr));
  Bytes encrypted(key.bits() / 8);
  std::size_t size = encrypted.size();
  if (RAND_priv_bytes(seed.bytes().data(), static_cast<int>(seed.size())) != 1 || !context ||
      EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md_name(context.get(), digest.c_str(), nullptr) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md_name(context.get(), digest.c_str(), nullptr) != 1 ||
      !set_label(context.get()) ||
      EVP_PKEY_encrypt(context.get(), encrypted.data(), &size, seed.bytes().data(), seed.size()) !=
          1) {
    return failed("encrypting to an RSA key");
  }
  return Seed{std::move(seed), std::move(encrypted)};
}

// Padded to the length of the curve's field, as TPMs have it in their derivations.
Result<Bytes> coordinate(const EVP_PKEY* key, const char* name, std::size_t size) {
  BIGNUM* number = nullptr;
  const bool found = EVP_PKEY_get_bn_param(key, name, &number) == 1;
  const Bn owner(number);
  Bytes bytes(size);
  if (!found || BN_bn2binpad(number, bytes.data(), static_cast<int>(size)) < 0) {
    return failed("reading a point");
  }
  return bytes;
}

Result<Key> key_on_the_curve_of(EVP_PKEY* other) {
  const KeyContext context(EVP_PKEY_CTX_new(other, nullptr));
  EVP_PKEY* made = nullptr;
  if (!context || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_keygen(context.get(), &made) != 1) {
    return failed("making a key for one agreement");
  }
  return Key(made);
}

Result<SecretBytes> agree(EVP_PKEY* ours, EVP_PKEY* theirs, std::size_t size) {
  CS_TRY(SecretBytes z, SecretBytes::create(size));
  const KeyContext context(EVP_PKEY_CTX_new(ours, nullptr));
  if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), theirs) != 1 ||
      EVP_PKEY_derive(context.get(), z.bytes().data(), &size) != 1 || size != z.size()) {
    return failed("agreeing on a key");
  }
  return z;
}

Result<Seed> ecc_seed(const PublicKey& key, HashAlgorithm hash) {
  const std::size_t size = (key.bits() + 7) / 8;
  CS_TRY(const Key ephemeral, key_on_the_curve_of(key.openssl()));
  CS_TRY(const Bytes x, coordinate(ephemeral.get(), OSSL_PKEY_PARAM_EC_PUB_X, size));
  CS_TRY(const Bytes y, coordinate(ephemeral.get(), OSSL_PKEY_PARAM_EC_PUB_Y, size));
  CS_TRY(const Bytes peer_x, coordinate(key.openssl(), OSSL_PKEY_PARAM_EC_PUB_X, size));
  CS_TRY(const SecretBytes z, agree(ephemeral.get(), key.openssl(), size));
  CS_TRY(SecretBytes seed, kdfe(hash, z, {identity, x, peer_x}, digest_size(hash)));
  ByteBuilder point(most_credential);
  point.vec16be(x).vec16be(y);
  return Seed{std::move(seed), finish(point)};
}

// The initialisation vector is zero: the key is used once.
Result<Bytes> encrypt(const SecretBytes& key, const SecretBytes& plain) {
  constexpr std::array<std::uint8_t, 16> zero{};
  const CipherContext context(EVP_CIPHER_CTX_new());
  Bytes out(plain.size());
  int size = 0;
  if (!context ||
      EVP_EncryptInit_ex(context.get(),
                         key.size() == 16 ? EVP_aes_128_cfb128() : EVP_aes_256_cfb128(), nullptr,
                         key.bytes().data(), zero.data()) != 1 ||
      EVP_EncryptUpdate(context.get(), out.data(), &size, plain.bytes().data(),
                        static_cast<int>(plain.size())) != 1 ||
      static_cast<std::size_t>(size) != out.size()) {
    return failed("encrypting the secret");
  }
  return out;
}

Result<Bytes> authenticate(HashAlgorithm hash, const SecretBytes& key, ByteView message) {
  Bytes out(digest_size(hash));
  std::size_t size = 0;
  const std::string digest(to_string(hash));
  if (EVP_Q_mac(nullptr, "HMAC", nullptr, digest.c_str(), nullptr, key.bytes().data(), key.size(),
                message.data(), message.size(), out.data(), out.size(), &size) == nullptr) {
    return failed("authenticating the secret");
  }
  return out;
}

// TPM2B_DIGEST.
Result<SecretBytes> with_size(const SecretBytes& secret) {
  CS_TRY(SecretBytes sized, SecretBytes::create(2 + secret.size()));
  ByteWriter out(sized.bytes());
  const auto written = out.vec16be(secret.bytes()).finish("a secret");
  if (!written.ok()) return written.error();
  return sized;
}

}  // namespace

Result<Credential> make_credential(const PublicArea& endorsement_key, const Name& object,
                                   const SecretBytes& secret) {
  CS_CHECK(check(endorsement_key, object, secret));
  const HashAlgorithm hash = endorsement_key.name_algorithm;
  CS_TRY(const PublicKey key, PublicKey::from(endorsement_key).context("making a credential"));
  CS_TRY(const Seed seed, key.is_rsa() ? rsa_seed(key, hash) : ecc_seed(key, hash));
  CS_TRY(const SecretBytes cipher_key, kdfa(hash, seed.bytes, {"STORAGE", object.bytes, {}},
                                            endorsement_key.symmetric.bits / 8U));
  CS_TRY(const SecretBytes mac_key,
         kdfa(hash, seed.bytes, {"INTEGRITY", {}, {}}, digest_size(hash)));
  CS_TRY(const SecretBytes plain, with_size(secret));
  CS_TRY(const Bytes encrypted, encrypt(cipher_key, plain));
  Bytes authenticated = encrypted;
  authenticated.insert(authenticated.end(), object.bytes.begin(), object.bytes.end());
  CS_TRY(const Bytes mac, authenticate(hash, mac_key, authenticated));

  ByteBuilder inside(most_credential);
  inside.vec16be(mac).bytes(encrypted);
  ByteBuilder id_object(most_credential);
  id_object.vec16be(finish(inside));
  ByteBuilder encrypted_secret(most_credential);
  encrypted_secret.vec16be(seed.encrypted);
  return Credential{finish(id_object), finish(encrypted_secret)};
}

}  // namespace cs::tpm
