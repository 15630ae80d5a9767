// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/generation.h"

#include "tpm/seal/nv_counter.h"

namespace cs::tpm {

namespace {

Result<std::uint64_t> count_of(Device& device, VolatileObject& srk, const Guard& guard) {
  CS_TRY(const Handle* const salt_key, srk.handle(device));
  return read_counter(device, *salt_key, guard.counter);
}

std::string text(std::uint64_t generation, std::uint64_t count) {
  return "generation " + std::to_string(generation) + ", the TPM counts " + std::to_string(count);
}

}  // namespace

Result<bool> is_counted(Device& device, VolatileObject& srk, const Guard& guard,
                        std::uint64_t generation) {
  CS_TRY(const std::uint64_t count, count_of(device, srk, guard));
  if (generation < count) {
    return Error(ErrorKind::unverified, guard.what + " was rolled back: " + text(generation, count))
        .with_hint("put the newest file back; who has put an old one there?");
  }
  if (generation - count > 1) {
    return Error(ErrorKind::unverified,
                 guard.what + " is of a future or of another TPM: " + text(generation, count))
        .with_hint("was the TPM cleared or replaced?");
  }
  return generation == count;
}

Result<void> complete(Device& device, const Guard& guard) {
  return count_on(device, guard.counter, guard.owner).context("completing the last store");
}

Result<std::uint64_t> next_generation(Device& device, VolatileObject& srk, const Guard& guard,
                                      std::optional<std::uint64_t> kept) {
  CS_TRY(const std::uint64_t count, count_of(device, srk, guard));
  if (kept != count + 1) return count + 1;
  return Error(ErrorKind::exists, "storing " + guard.what + ": the last store was cut off")
      .with_hint("load it first, which completes that; or remove it, if it cannot be loaded");
}

}  // namespace cs::tpm
