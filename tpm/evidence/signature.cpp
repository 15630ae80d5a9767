// SPDX-License-Identifier: GPL-3.0-or-later
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <string_view>

#include "base/openssl.h"
#include "tpm/evidence/public_key.h"

namespace cs::tpm {

namespace {

using Bn = Openssl<BIGNUM, BN_free>;
using Context = Openssl<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using EcdsaSig = Openssl<ECDSA_SIG, ECDSA_SIG_free>;

constexpr std::string_view what = "a signature";
constexpr std::size_t most_rsa = 512;
constexpr std::size_t most_scalar = 66;  // P-521
constexpr std::size_t most_signature = 1024;
constexpr std::uint8_t der_sequence = 0x30;

Bytes copy(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

Bytes to_bytes(const BIGNUM* number) {
  Bytes bytes(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, bytes.data());
  return bytes;
}

Bytes to_der(const ECDSA_SIG* signature) {
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature, &der);
  const Openssl<unsigned char, [](unsigned char* bytes) { OPENSSL_free(bytes); }> owner(der);
  return size < 0 ? Bytes{} : copy({der, static_cast<std::size_t>(size)});
}

// What OpenSSL verifies: the RSA signature itself, DER of r and s.
Bytes openssl_form(const Signature& signature) {
  if (signature.scheme != Algorithm::ecdsa) return signature.value;
  const EcdsaSig pair(ECDSA_SIG_new());
  Bn r(BN_bin2bn(signature.value.data(), static_cast<int>(signature.value.size()), nullptr));
  Bn s(BN_bin2bn(signature.s.data(), static_cast<int>(signature.s.size()), nullptr));
  if (!pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return {};
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  return to_der(pair.get());
}

// TPMs before revision 1.38 made the longest salt there is room for, later ones a digest's length.
bool set_padding(EVP_PKEY_CTX* context, Algorithm scheme) noexcept {
  if (scheme == Algorithm::rsassa) {
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
  }
  return scheme == Algorithm::ecdsa ||
         (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
          EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_AUTO) == 1);
}

const EVP_MD* openssl_hash(HashAlgorithm hash) noexcept {
  switch (hash) {
    case HashAlgorithm::sha1:
      return EVP_sha1();
    case HashAlgorithm::sha256:
      return EVP_sha256();
    case HashAlgorithm::sha384:
      return EVP_sha384();
    case HashAlgorithm::sha512:
      return EVP_sha512();
    case HashAlgorithm::sm3_256:
      return EVP_sm3();
  }
  return nullptr;
}

Signature with_key_scheme(const PublicKey& key) {
  Signature signature;
  signature.scheme = key.is_rsa() ? Algorithm::rsassa : Algorithm::ecdsa;
  if (key.area() == nullptr || !key.area()->scheme.hash) return signature;
  signature.scheme = key.area()->scheme.algorithm;
  signature.hash = *key.area()->scheme.hash;
  return signature;
}

// Only DER, and nothing behind it: what is read is written back the same.
Result<SignatureFile> from_der(ByteView file, const PublicKey& key) {
  const unsigned char* at = file.data();
  const EcdsaSig pair(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(file.size())));
  if (!pair || !std::ranges::equal(to_der(pair.get()), file)) {
    ERR_clear_error();
    return Error(ErrorKind::invalid, "reading a signature: no DER of an ECDSA signature");
  }
  Signature signature = with_key_scheme(key);
  signature.value = to_bytes(ECDSA_SIG_get0_r(pair.get()));
  signature.s = to_bytes(ECDSA_SIG_get0_s(pair.get()));
  return SignatureFile{std::move(signature), SignatureFile::Form::der};
}

}  // namespace

Result<Signature> Signature::parse(ByteView bytes) {
  ByteReader in(bytes);
  Signature signature;
  std::uint16_t scheme = 0;
  if (!in.u16be(scheme)) return in.failure(what);
  signature.scheme = static_cast<Algorithm>(scheme);
  const bool is_ecdsa = signature.scheme == Algorithm::ecdsa;
  if (!is_ecdsa && signature.scheme != Algorithm::rsassa && signature.scheme != Algorithm::rsapss) {
    return Error(ErrorKind::unsupported, "reading a signature: at offset 0 the scheme " +
                                             to_string(signature.scheme) +
                                             ", known here are ecdsa, rsassa, rsapss");
  }
  CS_TRY(signature.hash, read_hash_algorithm(in, what));
  ByteView value;
  ByteView s;
  if (!in.vec16be(is_ecdsa ? most_scalar : most_rsa, value)) return in.failure(what);
  if (is_ecdsa && !in.vec16be(most_scalar, s)) return in.failure(what);
  if (!in.expect_end()) return in.failure(what);
  signature.value = copy(value);
  signature.s = copy(s);
  return signature;
}

Bytes Signature::encode() const {
  ByteBuilder out(most_signature);
  out.u16be(static_cast<std::uint16_t>(scheme)).u16be(static_cast<std::uint16_t>(hash));
  out.vec16be(value);
  if (scheme == Algorithm::ecdsa) out.vec16be(s);
  return finish(out);
}

bool PublicKey::verifies(const Signature& signature, ByteView message) const {
  if (is_rsa() == (signature.scheme == Algorithm::ecdsa)) return false;
  const Digest digest = Hasher(signature.hash).hash({message});
  const Bytes form = openssl_form(signature);
  const Context context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  const bool verified =
      context && EVP_PKEY_verify_init(context.get()) == 1 &&
      set_padding(context.get(), signature.scheme) &&
      EVP_PKEY_CTX_set_signature_md(context.get(), openssl_hash(signature.hash)) == 1 &&
      EVP_PKEY_verify(context.get(), form.data(), form.size(), digest.bytes().data(),
                      digest.bytes().size()) == 1;
  if (!verified) ERR_clear_error();
  return verified;
}

std::string_view to_string(SignatureFile::Form form) noexcept {
  switch (form) {
    case SignatureFile::Form::tpm:
      return "TPMT_SIGNATURE";
    case SignatureFile::Form::der:
      return "ECDSA in DER";
    case SignatureFile::Form::raw:
      return "plain RSA";
  }
  return "";
}

Result<SignatureFile> read_signature(ByteView file, const PublicKey& key) {
  auto signature = Signature::parse(file);
  if (signature.ok()) return SignatureFile{std::move(signature).value(), SignatureFile::Form::tpm};
  if (!key.is_rsa() && !file.empty() && file.front() == der_sequence) return from_der(file, key);
  if (key.is_rsa() && file.size() * 8 == key.bits()) {
    Signature plain = with_key_scheme(key);
    plain.value = copy(file);
    return SignatureFile{std::move(plain), SignatureFile::Form::raw};
  }
  return std::move(signature).error();
}

}  // namespace cs::tpm
