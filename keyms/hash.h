// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "tpm/hash.h"

namespace cs::keyms {

// SHA-256, by which policies, certificates, statements and measurements are named.
using Hash = std::array<std::uint8_t, 32>;

// `digest`: of SHA-256.
[[nodiscard]] inline Hash to_hash(const tpm::Digest& digest) {
  Hash out{};
  std::ranges::copy(digest.bytes().first(out.size()), out.begin());
  return out;
}
[[nodiscard]] inline tpm::Digest to_digest(const Hash& hash) {
  tpm::Digest out(tpm::HashAlgorithm::sha256);
  std::ranges::copy(hash, out.bytes().begin());
  return out;
}

}  // namespace cs::keyms
