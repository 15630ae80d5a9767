// SPDX-License-Identifier: GPL-3.0-or-later
// What the store says before it is unlocked, for without it the machine does not get into the state
// that unlocks it. It is not secret; unlocking shows whether somebody has changed it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tpm/device/key_blobs.h"
#include "tpm/hash.h"

namespace cs::keyms {

inline constexpr std::size_t most_policies = 256;  // that are kept: agreed, in force and retired

struct Clear {
  static constexpr std::size_t most_encoded = 65536;

  std::string ne_id;
  std::uint32_t counter = 0;                              // of the TPM, that guards this store
  tpm::KeyBlobs attestation_key;                          // only this TPM can use it
  tpm::Digest configuration{tpm::HashAlgorithm::sha256};  // of the daemons
  // Of the policies in force, ascending: with the configuration, what a boot extends the static
  // register with. Store::write() fills it in.
  std::vector<tpm::Digest> core_properties = {};

  [[nodiscard]] Result<std::vector<std::uint8_t>> encode() const;
  // The whole of `bytes`: what encode() writes, and nothing else.
  [[nodiscard]] static Result<Clear> decode(ByteView bytes);
};

}  // namespace cs::keyms
