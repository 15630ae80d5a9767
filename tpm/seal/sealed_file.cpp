// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/sealed_file.h"

#include <utility>

#include "tpm/seal/generation.h"
#include "tpm/seal/nv_counter.h"
#include "tpm/small_file.h"

namespace cs::tpm {

namespace {

Guard guard_of(const SealedFile::Place& place) {
  return {place.path, place.counter, place.owner};
}

}  // namespace

Result<Unsealed> SealedFile::load(Device& device, VolatileObject& srk,
                                  const UnsealTerms& terms) const {
  CS_TRY(const Bytes bytes, read_small_file(place_.path, SealedBlob::most));
  CS_TRY(const SealedBlob blob, SealedBlob::parse(bytes).context(place_.path));
  const Guard guard = guard_of(place_);
  CS_TRY(const bool counted, is_counted(device, srk, guard, blob.header.generation));
  CS_TRY(Unsealed data, unseal(device, srk, blob, terms).context(place_.path));
  // Only now it is known that the generation is one that we have written.
  if (!counted) CS_CHECK(complete(device, guard));
  return data;
}

Result<void> SealedFile::store(Device& device, VolatileObject& srk, ByteView data,
                               SealTerms terms) const {
  const auto old = read_small_file(place_.path, SealedBlob::most);
  if (!old.ok() && old.error().kind() != ErrorKind::not_found) return old.error();
  const auto old_blob = SealedBlob::parse(old.ok() ? *old : Bytes());
  std::optional<std::uint64_t> kept;
  if (old_blob.ok()) kept = old_blob->header.generation;
  CS_TRY(terms.generation, next_generation(device, srk, guard_of(place_), kept));
  CS_TRY(const Bytes blob, seal(device, srk, data, terms));
  CS_CHECK(replace_file(*place_.disk, place_.path, blob));
  return count_on(device, place_.counter, place_.owner);
}

}  // namespace cs::tpm
