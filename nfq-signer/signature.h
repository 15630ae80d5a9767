// SPDX-License-Identifier: GPL-3.0-or-later
// Signatures over batches: ECDSA P-256 and Ed25519, in the 64-byte forms of docs/WIRE.md,
// section 4.
#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"
#include "nfq-signer/batch.h"
#include "nfq-signer/extension.h"

namespace cs {

// Private keys: P-256's is the 32-byte scalar, Ed25519's the 32-byte seed. For one thread.
class SigningKey {
 public:
  static constexpr std::size_t private_size = 32;

  static Result<SigningKey> load(Suite suite, const SecretBytes& private_key);

  SigningKey(SigningKey&& other) noexcept;
  SigningKey& operator=(SigningKey&& other) noexcept;
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;
  ~SigningKey();

  [[nodiscard]] Result<Signature> sign(ByteView statement) const;
  // In the form VerifyingKey takes.
  [[nodiscard]] std::vector<std::uint8_t> public_key() const;

 private:
  struct State;
  explicit SigningKey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Public keys: P-256's is 65 bytes, uncompressed; Ed25519's 32. For one thread. Costs 150 KB and
// some milliseconds to make with P-256, and half the time per signature: a peer has few keys and we
// check many signatures of each.
class VerifyingKey {
 public:
  static Result<VerifyingKey> load(Suite suite, ByteView public_key);

  VerifyingKey(VerifyingKey&& other) noexcept;
  VerifyingKey& operator=(VerifyingKey&& other) noexcept;
  VerifyingKey(const VerifyingKey&) = delete;
  VerifyingKey& operator=(const VerifyingKey&) = delete;
  ~VerifyingKey();

  // Any signature of another size than 64 bytes is false.
  [[nodiscard]] bool verifies(ByteView statement, ByteView signature) const noexcept;

 private:
  struct State;
  explicit VerifyingKey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Of two ECDSA signatures that differ by the sign of s, the one with the lower s. For signers that
// do not care, as a TPM.
void lower_s(Signature& signature) noexcept;

}  // namespace cs
