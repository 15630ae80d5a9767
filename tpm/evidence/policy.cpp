// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/policy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>

#include "base/endian.h"
#include "base/panic.h"

namespace cs::tpm {

namespace {

// TPM_CC.
constexpr std::uint32_t policy_nv = 0x149;
constexpr std::uint32_t policy_secret = 0x151;
constexpr std::uint32_t policy_signed = 0x160;
constexpr std::uint32_t policy_authorize = 0x16a;
constexpr std::uint32_t policy_auth_value = 0x16b;
constexpr std::uint32_t policy_command_code = 0x16c;
constexpr std::uint32_t policy_or = 0x171;
constexpr std::uint32_t policy_pcr = 0x17f;

constexpr std::size_t most_selection = 4 + 16 * 6;

template <std::unsigned_integral T>
std::array<std::uint8_t, sizeof(T)> big_endian(T value) noexcept {
  std::array<std::uint8_t, sizeof(T)> bytes{};
  store<std::endian::big>(value, std::span<std::uint8_t, sizeof(T)>(bytes));
  return bytes;
}

}  // namespace

void Policy::extend(std::uint32_t command, std::initializer_list<ByteView> arguments) {
  Hasher hasher(digest_.algorithm());
  hasher.start();
  hasher.add(digest_.bytes());
  hasher.add(big_endian(command));
  for (const ByteView argument : arguments) hasher.add(argument);
  digest_ = hasher.finish();
}

// PolicyUpdate() of Part 3: the reference is hashed apart, even an empty one.
void Policy::extend_with_reference(std::uint32_t command, const Name& name, ByteView reference) {
  extend(command, {name.bytes});
  digest_ = Hasher(digest_.algorithm()).hash({digest_.bytes(), reference});
}

Policy& Policy::pcr(const PcrSelection& selection, const Digest& composite) {
  if (composite.algorithm() != digest_.algorithm()) panic("a PCR composite of another hash");
  ByteBuilder selected(most_selection);
  write_pcr_selection(selected, selection);
  extend(policy_pcr, {finish(selected), composite.bytes()});
  return *this;
}

Policy& Policy::authorize(const Name& key, ByteView reference) {
  digest_ = Digest(digest_.algorithm());
  extend_with_reference(policy_authorize, key, reference);
  return *this;
}

Policy& Policy::nv(const Name& index, ByteView operand, std::uint16_t offset,
                   NvOperation operation) {
  const Digest arguments =
      Hasher(digest_.algorithm())
          .hash({operand, big_endian(offset), big_endian(static_cast<std::uint16_t>(operation))});
  extend(policy_nv, {arguments.bytes(), index.bytes});
  return *this;
}

Policy& Policy::auth_value() {
  extend(policy_auth_value, {});
  return *this;
}

Policy& Policy::secret(const Name& entity, ByteView reference) {
  extend_with_reference(policy_secret, entity, reference);
  return *this;
}

Policy& Policy::signed_by(const Name& key, ByteView reference) {
  extend_with_reference(policy_signed, key, reference);
  return *this;
}

Policy& Policy::command_code(std::uint32_t code) {
  extend(policy_command_code, {big_endian(code)});
  return *this;
}

Result<void> Policy::any_of(std::span<const Digest> policies) {
  constexpr std::size_t least = 2;
  constexpr std::size_t most = 8;
  if (policies.size() < least || policies.size() > most) {
    return Error(ErrorKind::limit,
                 "PolicyOR takes 2 to 8 policies, not " + std::to_string(policies.size()));
  }
  Bytes all;
  for (const Digest& policy : policies) {
    if (policy.algorithm() != digest_.algorithm()) {
      return Error(ErrorKind::invalid, "PolicyOR: a policy of another hash");
    }
    all.insert(all.end(), policy.bytes().begin(), policy.bytes().end());
  }
  digest_ = Digest(digest_.algorithm());
  extend(policy_or, {all});
  return {};
}

}  // namespace cs::tpm
