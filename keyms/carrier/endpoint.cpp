// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/endpoint.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "tpm/hash.h"

namespace cs::keyms::carrier {

namespace {

using Number = Openssl<BIGNUM, BN_clear_free>;

Error failed(const std::string& tried) {
  return openssl_error(ErrorKind::internal, tried);
}

Result<void> name(X509* certificate, std::string_view ne_id) {
  X509_NAME* const subject = X509_get_subject_name(certificate);
  const auto* const text = reinterpret_cast<const unsigned char*>(ne_id.data());
  if (X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC, text,
                                 static_cast<int>(ne_id.size()), -1, 0) != 1 ||
      X509_set_issuer_name(certificate, subject) != 1) {
    return failed("naming an endpoint's certificate");
  }
  return {};
}

// 64 random bits: no two certificates of one endpoint are alike.
Result<void> number(X509* certificate) {
  std::uint64_t serial = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) != 1 ||
      ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1U | 1U) != 1) {
    return failed("numbering an endpoint's certificate");
  }
  return {};
}

Result<std::vector<std::uint8_t>> certify(EVP_PKEY* key, std::string_view ne_id,
                                          const Validity& validity) {
  const Certificate certificate(X509_new());
  if (!certificate) return failed("making an endpoint's certificate");
  CS_CHECK(name(certificate.get(), ne_id));
  CS_CHECK(number(certificate.get()));
  constexpr long version_3 = 2;
  if (X509_set_version(certificate.get(), version_3) != 1 ||
      ASN1_TIME_set(X509_getm_notBefore(certificate.get()), to_time_t(validity.not_before)) ==
          nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()), to_time_t(validity.not_after)) ==
          nullptr ||
      X509_set_pubkey(certificate.get(), key) != 1 ||
      X509_sign(certificate.get(), key, EVP_sha256()) == 0) {
    return failed("signing an endpoint's certificate");
  }
  std::vector<std::uint8_t> der(max_certificate);
  unsigned char* end = der.data();
  const int size = i2d_X509(certificate.get(), nullptr);
  if (size < 1 || static_cast<std::size_t>(size) > der.size() ||
      i2d_X509(certificate.get(), &end) != size) {
    return failed("encoding an endpoint's certificate");
  }
  der.resize(static_cast<std::size_t>(size));
  return der;
}

// The certificate's public point, uncompressed.
Result<std::array<std::uint8_t, 65>> point_of(const EVP_PKEY* key) {
  std::array<std::uint8_t, 65> point{};
  std::size_t size = 0;
  if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(),
                                      &size) != 1 ||
      size != point.size()) {
    return failed("reading an endpoint's public key");
  }
  return point;
}

Result<Key> private_key(const OwnEndpoint& endpoint, std::array<std::uint8_t, 65> point) {
  const ByteView scalar = endpoint.private_key.bytes();
  const Number number(BN_secure_new());
  const Openssl<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  if (!number || !builder ||
      BN_bin2bn(scalar.data(), static_cast<int>(scalar.size()), number.get()) == nullptr ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, number.get()) != 1) {
    return failed("taking an endpoint's key");
  }
  const Openssl<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const Openssl<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(
      EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters.get()) != 1) {
    return failed("taking an endpoint's key");
  }
  return Key(key);
}

}  // namespace

Result<OwnEndpoint> make_endpoint(std::string_view ne_id, const Validity& validity) {
  const Key key(EVP_EC_gen("P-256"));
  BIGNUM* scalar = nullptr;
  if (!key || EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_PRIV_KEY, &scalar) != 1)
    return failed("making an endpoint's key");
  const Number number(scalar);
  CS_TRY(SecretBytes secret, SecretBytes::create(private_key_size));
  if (BN_bn2binpad(scalar, secret.bytes().data(), static_cast<int>(private_key_size)) < 0)
    return failed("making an endpoint's key");
  CS_TRY(auto certificate, certify(key.get(), ne_id, validity));
  return OwnEndpoint{std::string(ne_id), std::move(certificate), std::move(secret)};
}

bool is_p256(const EVP_PKEY* key) {
  std::array<char, 32> group{};
  return key != nullptr && EVP_PKEY_is_a(key, "EC") == 1 &&
         EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1 &&
         std::string_view(group.data()) == SN_X9_62_prime256v1;
}

Result<LoadedEndpoint> load_endpoint(const OwnEndpoint& endpoint) {
  const unsigned char* next = endpoint.certificate.data();
  const auto size = static_cast<long>(endpoint.certificate.size());
  Certificate certificate(d2i_X509(nullptr, &next, size));
  if (!certificate || next != endpoint.certificate.data() + size)
    return openssl_error(ErrorKind::invalid, "reading an endpoint's certificate");
  const EVP_PKEY* const in_certificate = X509_get0_pubkey(certificate.get());
  if (!is_p256(in_certificate))
    return Error(ErrorKind::invalid, "an endpoint's certificate is not of a key on P-256");
  CS_TRY(const auto point, point_of(in_certificate));
  CS_TRY(Key key, private_key(endpoint, point));
  const Openssl<EVP_PKEY_CTX, EVP_PKEY_CTX_free> check(EVP_PKEY_CTX_new(key.get(), nullptr));
  if (!check || EVP_PKEY_pairwise_check(check.get()) != 1)
    return openssl_error(ErrorKind::invalid, "an endpoint's key is not its certificate's");
  return LoadedEndpoint{std::move(certificate), std::move(key)};
}

Hash hash_of(ByteView certificate) {
  tpm::Hasher hasher(tpm::HashAlgorithm::sha256);
  const tpm::Digest digest = hasher.hash({certificate});
  Hash hash{};
  std::ranges::copy(digest.bytes(), hash.begin());
  return hash;
}

}  // namespace cs::keyms::carrier
