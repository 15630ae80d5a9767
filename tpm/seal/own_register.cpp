// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/own_register.h"

#include <algorithm>
#include <utility>

#include "tpm/device/pcr_commands.h"

namespace cs::tpm {

OwnPcr::OwnPcr(std::uint32_t index, std::vector<HashAlgorithm> banks)
    : index_(index), banks_(std::move(banks)) {
  std::ranges::sort(banks_);
}

Result<std::vector<Digest>> OwnPcr::read(Device& device) {
  PcrSelection selection;
  for (const HashAlgorithm bank : banks_) {
    selection.banks.push_back({bank, index_ < pcr_count ? 1U << index_ : 0});
  }
  CS_TRY(const PcrValues values, read_pcrs(device, selection));
  std::vector<Digest> found;
  for (const HashAlgorithm bank : banks_) {
    const Digest* const value = values.find(bank, index_);
    if (value == nullptr) return Error(ErrorKind::io, "the TPM has not told all banks of a PCR");
    found.push_back(*value);
  }
  return found;
}

Result<void> OwnPcr::extend(Device& device, const std::vector<Digest>& digests) {
  return extend_pcr(device, index_, digests);
}

Result<std::vector<Digest>> OwnIndex::read(Device& device) {
  CS_TRY(const Digest value, index_.read(device, *session_));
  return std::vector{value};
}

Result<void> OwnIndex::extend(Device& device, const std::vector<Digest>& digests) {
  return index_.extend(device, *session_, digests.at(0));
}

}  // namespace cs::tpm
