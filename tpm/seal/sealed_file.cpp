// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/sealed_file.h"

#include <utility>

#include "tpm/seal/nv_counter.h"
#include "tpm/small_file.h"

namespace cs::tpm {

namespace {

std::string text(std::uint64_t generation, std::uint64_t count) {
  return "generation " + std::to_string(generation) + ", the TPM counts " + std::to_string(count);
}

Result<void> check_generation(const std::string& path, std::uint64_t generation,
                              std::uint64_t count) {
  if (generation < count) {
    return Error(ErrorKind::unverified, path + " was rolled back: " + text(generation, count))
        .with_hint("put the newest file back; who has put an old one there?");
  }
  if (generation - count > 1) {
    return Error(ErrorKind::unverified,
                 path + " is of a future or of another TPM: " + text(generation, count))
        .with_hint("was the TPM cleared or replaced?");
  }
  return {};
}

}  // namespace

Result<Unsealed> SealedFile::load(Device& device, VolatileObject& srk,
                                  const UnsealTerms& terms) const {
  CS_TRY(const Bytes bytes, read_small_file(place_.path, SealedBlob::most));
  CS_TRY(const SealedBlob blob, SealedBlob::parse(bytes).context(place_.path));
  CS_TRY(const Handle* const salt_key, srk.handle(device));
  CS_TRY(const std::uint64_t count, read_counter(device, *salt_key, place_.counter));
  CS_CHECK(check_generation(place_.path, blob.header.generation, count));
  CS_TRY(Unsealed data, unseal(device, srk, blob, terms).context(place_.path));
  // Only now it is known that the generation is one that we have written.
  if (blob.header.generation == count + 1) {
    CS_CHECK(count_on(device, place_.counter, place_.owner).context("completing the last store"));
  }
  return data;
}

Result<void> SealedFile::store(Device& device, VolatileObject& srk, ByteView data,
                               SealTerms terms) const {
  CS_TRY(const Handle* const salt_key, srk.handle(device));
  CS_TRY(const std::uint64_t count, read_counter(device, *salt_key, place_.counter));
  terms.generation = count + 1;
  const auto old = read_small_file(place_.path, SealedBlob::most);
  if (!old.ok() && old.error().kind() != ErrorKind::not_found) return old.error();
  const auto old_blob = SealedBlob::parse(old.ok() ? *old : Bytes());
  if (old_blob.ok() && old_blob->header.generation == terms.generation) {
    return Error(ErrorKind::exists, "storing " + place_.path + ": the last store was cut off")
        .with_hint("load it first, which completes that; or remove it, if it cannot be loaded");
  }
  CS_TRY(const Bytes blob, seal(device, srk, data, terms));
  CS_CHECK(replace_file(*place_.disk, place_.path, blob));
  return count_on(device, place_.counter, place_.owner);
}

}  // namespace cs::tpm
