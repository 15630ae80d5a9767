// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/public_key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/openssl.h"

namespace cs::tpm {

namespace {

using Bn = Openssl<BIGNUM, BN_free>;
using Context = Openssl<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using Builder = Openssl<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Parameters = Openssl<OSSL_PARAM, OSSL_PARAM_free>;
using Bio = Openssl<BIO, BIO_free>;

constexpr std::size_t most_pem = 16384;
constexpr unsigned least_rsa_bits = 2048;
constexpr unsigned most_rsa_bits = 4096;
constexpr unsigned usual_exponent = 65537;
constexpr std::string_view pem_begin = "-----BEGIN PUBLIC KEY-----";
constexpr std::string_view pem_end = "-----END PUBLIC KEY-----";
constexpr std::uint8_t uncompressed = 4;

struct CurveProperties {
  Curve curve;
  const char* openssl;
  std::string_view name;
  std::size_t bits;
};
constexpr std::array<CurveProperties, 3> curves{{
    {Curve::p256, "prime256v1", "P-256", 256},
    {Curve::p384, "secp384r1", "P-384", 384},
    {Curve::p521, "secp521r1", "P-521", 521},
}};

const CurveProperties* find(std::string_view openssl_name) noexcept {
  const auto* const row = std::ranges::find(curves, openssl_name, &CurveProperties::openssl);
  return row == curves.end() ? nullptr : row;
}

const CurveProperties* curve_of(const EVP_PKEY* key) noexcept {
  std::array<char, 64> name{};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key, name.data(), name.size(), &size) != 1) return nullptr;
  return find(std::string_view(name.data(), size));
}

Error unusable(const std::string& why) {
  return Error(ErrorKind::unsupported, "loading a public key: " + why)
      .with_hint("use RSA with 2048 to 4096 bits, or one of P-256, P-384, P-521");
}

// EVP_PKEY_fromdata with what the builder has.
template <class Key>
Result<Key> make(const char* type, OSSL_PARAM_BLD* builder) {
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder));
  const Context context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* made = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return openssl_error(ErrorKind::invalid, "loading a public key");
  }
  return Key(made);
}

int no_password(char* /*out*/, int /*size*/, int /*writing*/, void* /*context*/) {
  return -1;
}

}  // namespace

void PublicKey::Free::operator()(evp_pkey_st* key) const noexcept {
  EVP_PKEY_free(key);
}

Result<PublicKey::Key> PublicKey::rsa(const PublicArea& area) {
  const unsigned exponent = area.rsa_exponent == 0 ? usual_exponent : area.rsa_exponent;
  if (area.unique.size() * 8 != area.rsa_bits || area.unique.empty() || area.unique.front() < 128) {
    return Error(ErrorKind::invalid, "loading a public key: its modulus has not the " +
                                         std::to_string(area.rsa_bits) + " bits it states");
  }
  const Bn n(BN_bin2bn(area.unique.data(), static_cast<int>(area.unique.size()), nullptr));
  const Bn e(BN_new());
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || BN_set_word(e.get(), exponent) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return openssl_error(ErrorKind::internal, "loading a public key");
  }
  return make<Key>("RSA", builder.get());
}

Result<PublicKey::Key> PublicKey::ecc(const PublicArea& area) {
  const auto* const curve = std::ranges::find(curves, area.curve, &CurveProperties::curve);
  if (curve == curves.end()) {
    return unusable("curve " + std::to_string(static_cast<unsigned>(area.curve)) + " of the TCG");
  }
  const std::size_t size = (curve->bits + 7) / 8;
  if (area.unique.size() > size || area.unique_y.size() > size) {
    return Error(ErrorKind::invalid, "loading a public key: its point is larger than its curve");
  }
  Bytes point(1 + 2 * size);
  point.front() = uncompressed;
  const auto middle = point.begin() + static_cast<std::ptrdiff_t>(1 + size);
  std::ranges::copy_backward(area.unique, middle);
  std::ranges::copy_backward(area.unique_y, point.end());
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->openssl,
                                      0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1) {
    return openssl_error(ErrorKind::internal, "loading a public key");
  }
  return make<Key>("EC", builder.get());
}

Result<PublicKey> PublicKey::checked(Key key, std::optional<PublicArea> area) {
  if (EVP_PKEY_is_a(key.get(), "EC") == 1) {
    if (curve_of(key.get()) == nullptr) return unusable("its curve is not one of those used here");
    return PublicKey(std::move(key), std::move(area));
  }
  if (EVP_PKEY_is_a(key.get(), "RSA") != 1) return unusable("it is neither RSA nor ECC");
  BIGNUM* exponent = nullptr;
  const bool read = EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_RSA_E, &exponent) == 1;
  const Bn e(exponent);
  if (!read || BN_is_word(e.get(), usual_exponent) != 1)
    return unusable("its exponent is not 65537");
  const auto bits = static_cast<unsigned>(EVP_PKEY_get_bits(key.get()));
  if (bits < least_rsa_bits || bits > most_rsa_bits) {
    return unusable("RSA with " + std::to_string(bits) + " bits");
  }
  return PublicKey(std::move(key), std::move(area));
}

Result<PublicKey> PublicKey::from(const PublicArea& area) {
  if (area.type != Algorithm::rsa && area.type != Algorithm::ecc) {
    return unusable("a " + to_string(area.type) + " object has no public key");
  }
  CS_TRY(Key key, area.type == Algorithm::rsa ? rsa(area) : ecc(area));
  return checked(std::move(key), area);
}

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  while (!pem.empty() && (pem.back() == '\n' || pem.back() == '\r')) pem.remove_suffix(1);
  if (pem.size() > most_pem || !pem.starts_with(pem_begin) || !pem.ends_with(pem_end) ||
      pem.find(pem_begin, 1) != std::string_view::npos) {
    return Error(ErrorKind::invalid, "loading a public key: not one PEM block 'PUBLIC KEY'")
        .with_hint("make one with: openssl pkey -pubin -in KEY -out KEY.pem");
  }
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(bio ? PEM_read_bio_PUBKEY(bio.get(), nullptr, no_password, nullptr) : nullptr);
  if (!key) return openssl_error(ErrorKind::invalid, "loading a public key from PEM");
  ERR_clear_error();
  return checked(std::move(key), {});
}

Result<PublicKey> PublicKey::read(ByteView file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (text.starts_with("-----")) return from_pem(text);
  CS_TRY(const PublicArea area, PublicArea::parse(without_size(file)).context("a public key"));
  return from(area);
}

bool PublicKey::is_rsa() const noexcept {
  return EVP_PKEY_is_a(key_.get(), "RSA") == 1;
}

std::size_t PublicKey::bits() const noexcept {
  return is_rsa() ? static_cast<std::size_t>(EVP_PKEY_get_bits(key_.get()))
                  : curve_of(key_.get())->bits;
}

std::string PublicKey::text() const {
  if (is_rsa()) return "RSA with " + std::to_string(bits()) + " bits";
  return std::string(curve_of(key_.get())->name);
}

}  // namespace cs::tpm
