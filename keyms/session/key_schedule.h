// SPDX-License-Identifier: GPL-3.0-or-later
// The keys of an attestation run, and what its quotes sign: docs/PROTOCOL.md, "The attestation
// session". Needs no TPM.
#pragma once

#include <array>
#include <cstdint>

#include "base/hkdf.h"
#include "base/secret.h"
#include "keyms/session/types.h"

struct evp_pkey_st;

namespace cs::keyms {

[[nodiscard]] Result<Nonce> draw_nonce();
// A new session key that a peer shows. Refused: what is no point of its suite's group. nfq-signer
// refuses it too, but ends its connection over it, and so hinders all peers.
[[nodiscard]] Result<void> check_session_key(std::uint8_t suite, ByteView public_key);

// One run's half of the key agreement. Move-only; the private half never leaves it.
class EphemeralKey {
 public:
  [[nodiscard]] static Result<EphemeralKey> create();
  [[nodiscard]] const Share& share() const noexcept { return share_; }
  // The x-coordinate. Refused: what is no point of the curve, and our own share.
  [[nodiscard]] Result<SecretBytes> agree(const Share& peer) const;

 private:
  struct Free {
    void operator()(evp_pkey_st* key) const noexcept;
  };
  EphemeralKey() = default;
  std::unique_ptr<evp_pkey_st, Free> key_;
  Share share_{};
};

// H(the domain's words ‖ 0 ‖ parts).
[[nodiscard]] Hash domain_hash(std::string_view domain, std::initializer_list<ByteView> parts);
[[nodiscard]] Hash channel_of(ByteView channel_secret);
// Messages without their HMAC.
[[nodiscard]] Hash begin_transcript(ByteView initiator_hello, ByteView responder_hello);
[[nodiscard]] Hash continue_transcript(const Hash& transcript, ByteView message);

struct QuoteContext {
  Role role = Role::initiator;    // whose quote it is
  Hash transcript{};              // th1 of the initiator's, th2 of the responder's
  std::array<Nonce, 2> nonces{};  // the initiator's first
  Hash channel{};
  std::array<Hash, 2> certificates{};  // the initiator's first
};
[[nodiscard]] Hash qualifying_data(const QuoteContext& context, ByteView statement);
// Of the certificates of signing key and event register that come along.
[[nodiscard]] Hash certify_qualifying_data(const Hash& of_quote);

// By who sends: [0] the initiator, [1] the responder.
using KeyPair = std::array<SecretBytes, 2>;

[[nodiscard]] Result<KeyPair> run_keys(const Hash& th1, const SecretBytes& agreed);

// Of a run whose two quotes are there.
struct LateKeys {
  Hash session_id{};
  KeyPair confirm;
  KeyPair gate;
  KeyPair link;
};
[[nodiscard]] Result<LateKeys> late_keys(const Hash& th3, const SecretBytes& agreed);

// That who shows it has recovered the secret of a credential: over th3 in result, th4 in final.
[[nodiscard]] Result<Hash> proof_of(ByteView secret, const Hash& transcript);

}  // namespace cs::keyms
