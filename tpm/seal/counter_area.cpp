// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/counter_area.h"

namespace cs::tpm {

namespace {

// TPMA_NV.
constexpr std::uint32_t owner_write = 1U << 1U;
constexpr std::uint32_t counter = 1U << 4U;
constexpr std::uint32_t auth_read = 1U << 18U;
constexpr std::uint32_t no_da = 1U << 25U;
constexpr std::uint32_t written = 1U << 29U;

constexpr std::uint16_t counter_size = 8;

}  // namespace

Result<void> check_counter_index(std::uint32_t index) {
  if (index >= first_counter_index && index <= last_counter_index) return {};
  return Error(ErrorKind::invalid, "NV index " + std::to_string(index) +
                                       " is no counter of ours: they are 0x018c5000 to 0x018c50ff");
}

NvPublic counter_area(std::uint32_t index) {
  return {index,
          HashAlgorithm::sha256,
          owner_write | counter | auth_read | no_da | written,
          {},
          counter_size};
}

}  // namespace cs::tpm
