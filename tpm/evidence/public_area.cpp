// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/public_area.h"

#include <array>
#include <string_view>
#include <utility>

namespace cs::tpm {

namespace {

constexpr std::string_view what = "a public area";
constexpr std::size_t most_rsa = 512;        // 4096 bits
constexpr std::size_t most_coordinate = 80;  // 638 bits: larger than any curve of the TCG
constexpr std::size_t most_public = 1024;

constexpr std::array<std::pair<std::uint32_t, std::string_view>, 12> attribute_names{{
    {attribute::fixed_tpm, "fixedtpm"},
    {attribute::st_clear, "stclear"},
    {attribute::fixed_parent, "fixedparent"},
    {attribute::sensitive_data_origin, "sensitivedataorigin"},
    {attribute::user_with_auth, "userwithauth"},
    {attribute::admin_with_policy, "adminwithpolicy"},
    {attribute::no_da, "noda"},
    {attribute::encrypted_duplication, "encryptedduplication"},
    {attribute::restricted, "restricted"},
    {attribute::decrypt, "decrypt"},
    {attribute::sign, "sign"},
    {attribute::x509_sign, "x509sign"},
}};

std::string attribute_name(unsigned bit) {
  for (const auto& [mask, name] : attribute_names) {
    if (mask == 1U << bit) return std::string(name);
  }
  return "bit" + std::to_string(bit);
}

Bytes copy(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

Error unknown(const ByteReader& in, const std::string& thing, Algorithm algorithm) {
  return {ErrorKind::unsupported, "reading " + std::string(what) + ": before offset " +
                                      std::to_string(in.position()) + " " + thing +
                                      " that is not known here, " + to_string(algorithm)};
}

// Algorithms keep their numbers here: which of them fit is for who uses the key to judge.
bool read_algorithm(ByteReader& in, Algorithm& out) noexcept {
  std::uint16_t number = 0;
  if (!in.u16be(number)) return false;
  out = static_cast<Algorithm>(number);
  return true;
}

Result<Symmetric> read_symmetric(ByteReader& in) {
  Symmetric symmetric;
  if (!read_algorithm(in, symmetric.algorithm)) return in.failure(what);
  if (symmetric.algorithm == Algorithm::null) return symmetric;
  if (!in.u16be(symmetric.bits) || !read_algorithm(in, symmetric.mode)) return in.failure(what);
  return symmetric;
}

void write_symmetric(ByteBuilder& out, const Symmetric& symmetric) {
  out.u16be(static_cast<std::uint16_t>(symmetric.algorithm));
  if (symmetric.algorithm == Algorithm::null) return;
  out.u16be(symmetric.bits).u16be(static_cast<std::uint16_t>(symmetric.mode));
}

// TPMT_RSA_SCHEME, TPMT_ECC_SCHEME, TPMT_KEYEDHASH_SCHEME and TPMT_KDF_SCHEME are built alike.
bool has_hash(Algorithm scheme) noexcept {
  return scheme != Algorithm::null && scheme != Algorithm::rsaes;
}
bool has_extra(Algorithm scheme) noexcept {
  return scheme == Algorithm::ecdaa || scheme == Algorithm::exclusive_or;
}

bool is_scheme(Algorithm algorithm) noexcept {
  switch (algorithm) {
    case Algorithm::null:
    case Algorithm::rsassa:
    case Algorithm::rsaes:
    case Algorithm::rsapss:
    case Algorithm::oaep:
    case Algorithm::ecdsa:
    case Algorithm::ecdh:
    case Algorithm::ecdaa:
    case Algorithm::sm2:
    case Algorithm::ecschnorr:
    case Algorithm::ecmqv:
    case Algorithm::hmac:
    case Algorithm::exclusive_or:
      return true;
    default:
      return false;
  }
}

// The number of a key derivation function.
bool is_kdf(Algorithm algorithm) noexcept {
  const auto number = static_cast<std::uint16_t>(algorithm);
  return algorithm == Algorithm::null || number == 0x07 || (number >= 0x20 && number <= 0x22);
}

Result<Scheme> read_scheme(ByteReader& in, bool (*is_allowed)(Algorithm) noexcept) {
  Scheme scheme;
  if (!read_algorithm(in, scheme.algorithm)) return in.failure(what);
  if (!is_allowed(scheme.algorithm)) return unknown(in, "a scheme", scheme.algorithm);
  if (!has_hash(scheme.algorithm)) return scheme;
  CS_TRY(scheme.hash, read_hash_algorithm(in, what));
  if (has_extra(scheme.algorithm) && !in.u16be(scheme.extra)) return in.failure(what);
  return scheme;
}

void write_scheme(ByteBuilder& out, const Scheme& scheme) {
  out.u16be(static_cast<std::uint16_t>(scheme.algorithm));
  if (scheme.hash) out.u16be(static_cast<std::uint16_t>(*scheme.hash));
  if (has_extra(scheme.algorithm)) out.u16be(scheme.extra);
}

Result<Bytes> read_policy(ByteReader& in, HashAlgorithm hash, std::string_view of) {
  ByteView policy;
  if (!in.vec16be(Digest::most, policy)) return in.failure(of);
  if (!policy.empty() && policy.size() != digest_size(hash)) {
    return Error(ErrorKind::invalid, "reading " + std::string(of) + ": before offset " +
                                         std::to_string(in.position()) + " a policy of " +
                                         std::to_string(policy.size()) + " bytes, its hash has " +
                                         std::to_string(digest_size(hash)));
  }
  return copy(policy);
}

Result<void> read_rsa(ByteReader& in, PublicArea& area) {
  CS_TRY(area.symmetric, read_symmetric(in));
  CS_TRY(area.scheme, read_scheme(in, is_scheme));
  ByteView modulus;
  if (!in.u16be(area.rsa_bits) || !in.u32be(area.rsa_exponent) || !in.vec16be(most_rsa, modulus)) {
    return in.failure(what);
  }
  area.unique = copy(modulus);
  return {};
}

Result<void> read_ecc(ByteReader& in, PublicArea& area) {
  CS_TRY(area.symmetric, read_symmetric(in));
  CS_TRY(area.scheme, read_scheme(in, is_scheme));
  std::uint16_t curve = 0;
  if (!in.u16be(curve)) return in.failure(what);
  area.curve = static_cast<Curve>(curve);
  CS_TRY(area.kdf, read_scheme(in, is_kdf));
  ByteView x;
  ByteView y;
  if (!in.vec16be(most_coordinate, x) || !in.vec16be(most_coordinate, y)) return in.failure(what);
  area.unique = copy(x);
  area.unique_y = copy(y);
  return {};
}

Result<void> read_symmetric_key(ByteReader& in, PublicArea& area) {
  if (area.type == Algorithm::keyedhash) {
    CS_TRY(area.scheme, read_scheme(in, is_scheme));
  } else {
    CS_TRY(area.symmetric, read_symmetric(in));
  }
  ByteView digest;
  if (!in.vec16be(Digest::most, digest)) return in.failure(what);
  area.unique = copy(digest);
  return {};
}

Result<void> read_rest(ByteReader& in, PublicArea& area) {
  switch (area.type) {
    case Algorithm::rsa:
      return read_rsa(in, area);
    case Algorithm::ecc:
      return read_ecc(in, area);
    case Algorithm::keyedhash:
    case Algorithm::symcipher:
      return read_symmetric_key(in, area);
    default:
      return unknown(in, "a type of key", area.type);
  }
}

}  // namespace

std::string attribute_words(std::uint32_t attributes) {
  std::string words;
  for (unsigned bit = 0; bit < 32; ++bit) {
    if ((attributes >> bit & 1U) == 0) continue;
    words += (words.empty() ? "" : "|") + attribute_name(bit);
  }
  return words;
}

std::string Scheme::text() const {
  return to_string(algorithm) + (hash ? " with " + std::string(to_string(*hash)) : "");
}

Result<PublicArea> PublicArea::parse(ByteView bytes) {
  ByteReader in(bytes);
  PublicArea area;
  if (!read_algorithm(in, area.type)) return in.failure(what);
  CS_TRY(area.name_algorithm, read_hash_algorithm(in, what));
  if (!in.u32be(area.attributes)) return in.failure(what);
  CS_TRY(area.policy, read_policy(in, area.name_algorithm, what));
  CS_CHECK(read_rest(in, area));
  if (!in.expect_end()) return in.failure(what);
  return area;
}

Bytes PublicArea::encode() const {
  ByteBuilder out(most_public);
  out.u16be(static_cast<std::uint16_t>(type)).u16be(static_cast<std::uint16_t>(name_algorithm));
  out.u32be(attributes).vec16be(policy);
  if (type != Algorithm::keyedhash) write_symmetric(out, symmetric);
  if (type != Algorithm::symcipher) write_scheme(out, scheme);
  if (type == Algorithm::rsa) out.u16be(rsa_bits).u32be(rsa_exponent);
  if (type == Algorithm::ecc) {
    out.u16be(static_cast<std::uint16_t>(curve));
    write_scheme(out, kdf);
  }
  out.vec16be(unique);
  if (type == Algorithm::ecc) out.vec16be(unique_y);
  return finish(out);
}

Result<NvPublic> NvPublic::parse(ByteView bytes) {
  constexpr std::string_view of = "the public area of an NV index";
  ByteReader in(bytes);
  NvPublic area;
  if (!in.u32be(area.index)) return in.failure(of);
  CS_TRY(area.name_algorithm, read_hash_algorithm(in, of));
  if (!in.u32be(area.attributes)) return in.failure(of);
  CS_TRY(area.policy, read_policy(in, area.name_algorithm, of));
  if (!in.u16be(area.size) || !in.expect_end()) return in.failure(of);
  return area;
}

Bytes NvPublic::encode() const {
  ByteBuilder out(most_public);
  out.u32be(index).u16be(static_cast<std::uint16_t>(name_algorithm)).u32be(attributes);
  out.vec16be(policy).u16be(size);
  return finish(out);
}

}  // namespace cs::tpm
