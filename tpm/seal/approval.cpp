// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/approval.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <array>
#include <utility>

#include "base/endian.h"
#include "base/openssl.h"
#include "tpm/evidence/name.h"
#include "tpm/evidence/policy.h"
#include "tpm/seal/counter_area.h"

namespace cs::tpm {

namespace {

constexpr std::string_view what = "an approval";
constexpr std::array<std::uint8_t, 8> magic{'C', 'S', 'a', 'p', 'p', 'r', 0, 1};
constexpr std::string_view domain = "countersign approval";
constexpr std::size_t most_name_of_gateway = 256;
constexpr std::size_t most_signature = 256;
constexpr std::size_t p256_bytes = 32;
constexpr std::size_t most_der = 128;

ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Bytes joined(const Digest& first, const Digest& second) {
  Bytes both(first.bytes().begin(), first.bytes().end());
  both.insert(both.end(), second.bytes().begin(), second.bytes().end());
  return both;
}

Result<Bytes> coordinate(evp_pkey_st* key, const char* parameter) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, parameter, &number) != 1) {
    return openssl_error(ErrorKind::unsupported, "reading an approver's key");
  }
  const Openssl<BIGNUM, BN_free> owned(number);
  Bytes bytes(p256_bytes);
  BN_bn2binpad(number, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

// Of a private or a public key.
Result<PublicArea> area_of(evp_pkey_st* key) {
  std::array<char, 32> group{};
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1 ||
      std::string_view(group.data()) != "prime256v1") {
    ERR_clear_error();
    return Error(ErrorKind::unsupported, "an approver's key is not on P-256")
        .with_hint("make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
  }
  PublicArea area;
  area.attributes = attribute::sign | attribute::user_with_auth;
  area.scheme = {Algorithm::ecdsa, HashAlgorithm::sha256};
  area.curve = Curve::p256;
  CS_TRY(area.unique, coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X));
  CS_TRY(area.unique_y, coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y));
  return area;
}

// Some TPMs take numbers of the full length only.
void pad(Bytes& number) {
  if (number.size() < p256_bytes) number.insert(number.begin(), p256_bytes - number.size(), 0);
}

}  // namespace

Result<Digest> approval_reference(std::string_view gateway, std::string_view purpose) {
  ByteBuilder out(1024);
  if (gateway.empty() || purpose.empty() || gateway.size() > most_name_of_gateway ||
      purpose.size() > most_name_of_gateway) {
    return Error(ErrorKind::invalid, "an approval is for a gateway and a purpose of 1 to " +
                                         std::to_string(most_name_of_gateway) + " bytes");
  }
  out.vec8(bytes_of(domain)).vec16be(bytes_of(gateway)).vec16be(bytes_of(purpose));
  return Hasher(HashAlgorithm::sha256).hash({finish(out)});
}

Result<PublicArea> approver_area(const PublicKey& key) {
  return area_of(key.openssl());
}

Digest Approval::policy() const {
  std::array<std::uint8_t, 8> at_most{};
  store<std::endian::big>(counter_at_most, std::span<std::uint8_t, 8>(at_most));
  return Policy(HashAlgorithm::sha256)
      .pcr(state.selection(), state.composite())
      .nv(name_of(counter_area(counter_index)), at_most, 0, NvOperation::unsigned_at_most)
      .digest();
}

Bytes Approval::encode() const {
  ByteBuilder out(most);
  out.bytes(magic).bytes(reference.bytes()).u32be(counter_index).u64be(counter_at_most);
  state.write(out);
  out.vec16be(signature.encode());
  return finish(out);
}

Result<Approval> Approval::parse(ByteView bytes) {
  ByteReader in(bytes);
  std::array<std::uint8_t, magic.size()> begin{};
  Digest reference(HashAlgorithm::sha256);
  std::uint32_t index = 0;
  std::uint64_t at_most = 0;
  if (!in.copy_to(begin)) return in.failure(what);
  if (begin != magic) {
    return Error(ErrorKind::invalid, "reading an approval: it does not begin as version 1 does");
  }
  if (!in.copy_to(reference.bytes()) || !in.u32be(index) || !in.u64be(at_most)) {
    return in.failure(what);
  }
  CS_CHECK(check_counter_index(index).context("reading an approval"));
  CS_TRY(PcrState state, PcrState::read(in).context("reading an approval"));
  ByteView signature;
  if (!in.vec16be(most_signature, signature) || !in.expect_end()) return in.failure(what);
  CS_TRY(Signature parsed, Signature::parse(signature).context("reading an approval"));
  return Approval{reference, index, at_most, std::move(state), std::move(parsed)};
}

Result<void> Approval::verify(const PublicArea& approver, const Digest& wanted) const {
  if (!(reference == wanted)) {
    return Error(ErrorKind::unverified, "the approval is for another gateway or purpose");
  }
  CS_TRY(const PublicKey key, PublicKey::from(approver).context("the approver's key"));
  if (signature.scheme == Algorithm::ecdsa && signature.hash == HashAlgorithm::sha256 &&
      key.verifies(signature, joined(policy(), reference))) {
    return {};
  }
  return Error(ErrorKind::unverified, "the approval was not signed by the approver's key");
}

Result<Approval> make_approval(ApprovalTerms terms, evp_pkey_st* key) {
  CS_CHECK(check_counter_index(terms.counter_index).context("approving a state"));
  CS_TRY(const PublicArea area, area_of(key).context("approving a state"));
  CS_TRY(const PublicKey verifier, PublicKey::from(area));
  Approval approval{
      terms.reference, terms.counter_index, terms.counter_at_most, std::move(terms.state), {}};
  const Openssl<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  const Bytes message = joined(approval.policy(), approval.reference);
  Bytes der(most_der);
  std::size_t size = der.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), der.data(), &size, message.data(), message.size()) != 1) {
    return openssl_error(ErrorKind::internal, "signing an approval");
  }
  der.resize(size);
  CS_TRY(SignatureFile made, read_signature(der, verifier));
  pad(made.signature.value);
  pad(made.signature.s);
  approval.signature = std::move(made.signature);
  return approval;
}

}  // namespace cs::tpm
