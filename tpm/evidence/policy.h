// SPDX-License-Identifier: GPL-3.0-or-later
// Policy digests computed without a TPM: what a policy session of one would come to.
#pragma once

#include <cstdint>
#include <span>

#include "tpm/evidence/structures.h"

namespace cs::tpm {

// TPM_EO: how PolicyNV compares what the index holds with the operand.
enum class NvOperation : std::uint16_t {
  equal = 0,
  not_equal = 1,
  unsigned_greater = 3,
  unsigned_less = 5,
  unsigned_at_least = 7,
  unsigned_at_most = 9,
  bits_set = 10,
  bits_clear = 11,
};

// A value; copy it where policies begin alike. Each call is a command of TPM 2.0 Part 3, and all
// must be satisfied, in this order:
//
//   Policy(HashAlgorithm::sha256).pcr(selection, composite).auth_value().digest()
class Policy {
 public:
  explicit Policy(HashAlgorithm hash) : digest_(hash) {}

  // `composite` made with the policy's own hash: PcrValues::composite(selection, hash).
  Policy& pcr(const PcrSelection& selection, const Digest& composite);
  // Whatever came before is forgotten: a policy that the key approves may stand in its place.
  Policy& authorize(const Name& key, ByteView reference = {});
  Policy& nv(const Name& index, ByteView operand, std::uint16_t offset, NvOperation operation);
  // PolicyPassword has the same digest.
  Policy& auth_value();
  Policy& secret(const Name& entity, ByteView reference = {});
  Policy& signed_by(const Name& key, ByteView reference = {});
  Policy& command_code(std::uint32_t code);
  // What came before must be one of these policies. 2 to 8 of them, of this hash.
  [[nodiscard]] Result<void> any_of(std::span<const Digest> policies);

  [[nodiscard]] const Digest& digest() const noexcept { return digest_; }

 private:
  void extend(std::uint32_t command, std::initializer_list<ByteView> arguments);
  void extend_with_reference(std::uint32_t command, const Name& name, ByteView reference);

  Digest digest_;
};

}  // namespace cs::tpm
