// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/session/key_schedule.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <sodium/crypto_core_ed25519.h>
#include <sys/random.h>

#include "base/byte_writer.h"
#include "base/constant_time.h"
#include "tpm/hash.h"

namespace cs::keyms {
namespace {

constexpr std::array<std::uint8_t, 1> zero{0};

ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Hash hash_of(std::initializer_list<ByteView> parts) {
  tpm::Hasher hasher(tpm::HashAlgorithm::sha256);
  const tpm::Digest digest = hasher.hash(parts);
  Hash out{};
  std::ranges::copy(digest.bytes(), out.begin());
  return out;
}

std::array<std::uint8_t, 4> length_of(ByteView message) {
  std::array<std::uint8_t, 4> out{};
  store<std::endian::big>(static_cast<std::uint32_t>(message.size()), std::span(out));
  return out;
}

using Point = Openssl<EVP_PKEY, EVP_PKEY_free>;

// OpenSSL looks whether it is on the curve. It takes other forms too, we do not.
Result<Point> point_of(ByteView share) {
  if (share.empty() || share[0] != 4)
    return Error(ErrorKind::invalid, "a point of P-256 does not begin with 4");
  static const Point parameters(EVP_EC_gen("P-256"));
  Point key(EVP_PKEY_new());
  if (!key || !parameters || EVP_PKEY_copy_parameters(key.get(), parameters.get()) != 1 ||
      EVP_PKEY_set1_encoded_public_key(key.get(), share.data(), share.size()) != 1) {
    return openssl_error(ErrorKind::invalid, "taking a point of P-256");
  }
  return key;
}

Result<KeyPair> pair_of(const SecretBytes& pseudorandom, const std::string& label,
                        std::size_t size) {
  CS_TRY(SecretBytes initiator, hkdf_expand(pseudorandom.bytes(), label + " i", size));
  CS_TRY(SecretBytes responder, hkdf_expand(pseudorandom.bytes(), label + " r", size));
  return KeyPair{std::move(initiator), std::move(responder)};
}

}  // namespace

Result<Nonce> draw_nonce() {
  Nonce nonce{};
  if (::getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
    return from_errno(errno, "drawing a nonce");
  return nonce;
}

Result<void> check_session_key(std::uint8_t suite, ByteView public_key) {
  constexpr std::uint8_t last_of_p256 = 2;
  if (suite <= last_of_p256) {
    CS_TRY([[maybe_unused]] const Point point, point_of(public_key));
    return {};
  }
  if (crypto_core_ed25519_is_valid_point(public_key.data()) == 1) return {};
  return Error(ErrorKind::invalid, "a new session key is no point of Ed25519's group");
}

void EphemeralKey::Free::operator()(evp_pkey_st* key) const noexcept {
  EVP_PKEY_free(key);
}

Result<EphemeralKey> EphemeralKey::create() {
  EphemeralKey made;
  made.key_.reset(EVP_EC_gen("P-256"));
  std::size_t size = 0;
  if (!made.key_ ||
      EVP_PKEY_get_octet_string_param(made.key_.get(), OSSL_PKEY_PARAM_PUB_KEY, made.share_.data(),
                                      made.share_.size(), &size) != 1 ||
      size != made.share_.size()) {
    return openssl_error(ErrorKind::internal, "making an ephemeral key");
  }
  return made;
}

Result<SecretBytes> EphemeralKey::agree(const Share& peer) const {
  if (peer == share_) return Error(ErrorKind::invalid, "the peer's share is our own");
  CS_TRY(const Point theirs, point_of(peer));
  CS_TRY(SecretBytes out, SecretBytes::create(32));
  const Openssl<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(
      EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
  std::size_t size = out.size();
  if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), theirs.get()) != 1 ||
      EVP_PKEY_derive(context.get(), out.bytes().data(), &size) != 1 || size != out.size()) {
    return openssl_error(ErrorKind::invalid, "agreeing on a secret");
  }
  return out;
}

Hash domain_hash(std::string_view domain, std::initializer_list<ByteView> parts) {
  tpm::Hasher hasher(tpm::HashAlgorithm::sha256);
  hasher.start();
  hasher.add(bytes_of(domain));
  hasher.add(zero);
  for (const ByteView part : parts) hasher.add(part);
  Hash out{};
  std::ranges::copy(hasher.finish().bytes(), out.begin());
  return out;
}

Hash channel_of(ByteView channel_secret) {
  return domain_hash("countersign channel v1", {channel_secret});
}

Hash begin_transcript(ByteView initiator_hello, ByteView responder_hello) {
  return domain_hash("countersign transcript v1", {length_of(initiator_hello), initiator_hello,
                                                   length_of(responder_hello), responder_hello});
}

Hash continue_transcript(const Hash& transcript, ByteView message) {
  return hash_of({transcript, length_of(message), message});
}

Hash qualifying_data(const QuoteContext& context, ByteView statement) {
  const std::array<std::uint8_t, 1> role{static_cast<std::uint8_t>(context.role)};
  return domain_hash(
      "countersign quote v1",
      {role, context.transcript, context.nonces[0], context.nonces[1], context.channel,
       context.certificates[0], context.certificates[1], hash_of({statement})});
}

Hash certify_qualifying_data(const Hash& of_quote) {
  return domain_hash("countersign certify v1", {of_quote});
}

Result<KeyPair> run_keys(const Hash& th1, const SecretBytes& agreed) {
  CS_TRY(const SecretBytes early, hkdf_extract(th1, agreed.bytes()));
  return pair_of(early, "cs run", hmac_size);
}

Result<LateKeys> late_keys(const Hash& th3, const SecretBytes& agreed) {
  CS_TRY(const SecretBytes late, hkdf_extract(th3, agreed.bytes()));
  CS_TRY(const SecretBytes session_id, hkdf_expand(late.bytes(), "cs session", hmac_size));
  CS_TRY(KeyPair confirm, pair_of(late, "cs confirm", hmac_size));
  CS_TRY(KeyPair gate, pair_of(late, "cs gate", 16));
  CS_TRY(KeyPair link, pair_of(late, "cs link", hmac_size));
  LateKeys keys{{}, std::move(confirm), std::move(gate), std::move(link)};
  std::ranges::copy(session_id.bytes(), keys.session_id.begin());
  return keys;
}

Result<Hash> proof_of(ByteView secret, const Hash& transcript) {
  Hash out{};
  CS_CHECK(hmac_sha256(secret, {bytes_of("countersign proof v1"), zero, transcript}, out));
  return out;
}

}  // namespace cs::keyms
