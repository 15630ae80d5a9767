// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/hash.h"

#include <openssl/evp.h>

#include "base/hex.h"
#include "base/panic.h"

namespace cs::tpm {

namespace {

struct Properties {
  HashAlgorithm algorithm;
  std::string_view name;
  const char* openssl;
  std::uint8_t size;
};
constexpr std::array<Properties, all_hash_algorithms.size()> table{{
    {HashAlgorithm::sha1, "sha1", "SHA1", 20},
    {HashAlgorithm::sha256, "sha256", "SHA256", 32},
    {HashAlgorithm::sha384, "sha384", "SHA384", 48},
    {HashAlgorithm::sha512, "sha512", "SHA512", 64},
    {HashAlgorithm::sm3_256, "sm3_256", "SM3", 32},
}};

const Properties& properties(HashAlgorithm algorithm) noexcept {
  const auto* const row = std::ranges::find(table, algorithm, &Properties::algorithm);
  if (row == table.end()) panic("a hash algorithm nobody has checked");
  return *row;
}

void check(int openssl_result) {
  if (openssl_result != 1) panic("OpenSSL cannot hash");
}

}  // namespace

std::size_t digest_size(HashAlgorithm algorithm) noexcept {
  return properties(algorithm).size;
}

std::string_view to_string(HashAlgorithm algorithm) noexcept {
  return properties(algorithm).name;
}

std::optional<HashAlgorithm> hash_algorithm(std::uint16_t number) noexcept {
  const auto algorithm = static_cast<HashAlgorithm>(number);
  if (std::ranges::find(all_hash_algorithms, algorithm) == all_hash_algorithms.end()) return {};
  return algorithm;
}

std::optional<HashAlgorithm> hash_algorithm(std::string_view name) noexcept {
  const auto* const row = std::ranges::find(table, name, &Properties::name);
  if (row == table.end()) return {};
  return row->algorithm;
}

Digest::Digest(HashAlgorithm algorithm, std::uint8_t fill) noexcept
    : size_(properties(algorithm).size), algorithm_(algorithm) {
  std::ranges::fill(bytes(), fill);
}

Result<Digest> Digest::from(HashAlgorithm algorithm, ByteView bytes) {
  Digest digest(algorithm);
  if (bytes.size() != digest.size_) {
    return Error(ErrorKind::invalid, "a " + std::string(to_string(algorithm)) + " digest has " +
                                         std::to_string(digest.size_) + " bytes, not " +
                                         std::to_string(bytes.size()));
  }
  std::ranges::copy(bytes, digest.bytes_.begin());
  return digest;
}

std::string Digest::hex() const {
  return hex_encode(bytes());
}

void Hasher::Free::operator()(evp_md_st* algorithm) const noexcept {
  EVP_MD_free(algorithm);
}

void Hasher::Free::operator()(evp_md_ctx_st* state) const noexcept {
  EVP_MD_CTX_free(state);
}

Hasher::Hasher(HashAlgorithm algorithm)
    : md_(EVP_MD_fetch(nullptr, properties(algorithm).openssl, nullptr)),
      state_(EVP_MD_CTX_new()),
      algorithm_(algorithm) {
  if (!md_ || !state_) panic("OpenSSL without a hash algorithm the TCG names");
}

Digest Hasher::hash(std::initializer_list<ByteView> parts) {
  start();
  for (const ByteView part : parts) add(part);
  return finish();
}

void Hasher::start() {
  check(EVP_DigestInit_ex2(state_.get(), md_.get(), nullptr));
}

void Hasher::add(ByteView bytes) {
  check(EVP_DigestUpdate(state_.get(), bytes.data(), bytes.size()));
}

Digest Hasher::finish() {
  Digest digest(algorithm_);
  check(EVP_DigestFinal_ex(state_.get(), digest.bytes().data(), nullptr));
  return digest;
}

}  // namespace cs::tpm
