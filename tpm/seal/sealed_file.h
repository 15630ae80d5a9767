// SPDX-License-Identifier: GPL-3.0-or-later
// A file of sealed data that cannot be rolled back: a counter in the TPM knows its generation.
#pragma once

#include <cstdint>
#include <string>

#include "tpm/seal/disk.h"
#include "tpm/seal/seal.h"

namespace cs::tpm {

// One counter guards one file: see docs/SEALING.md. Wherever the power fails there is what was
// stored before, or what is to be. Move-only, nothing is open between the calls.
class SealedFile {
 public:
  struct Place {
    std::string path;
    std::uint32_t counter = 0;  // define_counter() makes it
    Auth owner = {};            // the owner hierarchy's auth value
    Disk* disk = &kernel_disk();
  };
  explicit SealedFile(Place place) : place_(std::move(place)) {}

  // Refused, besides what unseal() refuses (unverified): a generation the TPM has left behind, or
  // has never reached. Completes a store that was cut off before it counted.
  [[nodiscard]] Result<Unsealed> load(Device& device, VolatileObject& srk,
                                      const UnsealTerms& terms) const;
  // Refused (exists): the last store was cut off; load() completes it. A failure after the file was
  // written leaves it to load() too. `terms.generation` is of no account.
  [[nodiscard]] Result<void> store(Device& device, VolatileObject& srk, ByteView data,
                                   SealTerms terms) const;

 private:
  Place place_;
};

}  // namespace cs::tpm
