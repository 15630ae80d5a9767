// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/pcr_commands.h"

#include <algorithm>
#include <optional>

#include "tpm/device/backoff.h"
#include "tpm/device/esys.h"

namespace cs::tpm {
namespace {

constexpr std::chrono::seconds read_for{5};

// One TPM2_PCR_Read: eight registers at most. Those it has given are taken out of `left`.
Result<std::uint32_t> read_some(Device& device, PcrSelection& left, PcrValues& values) {
  CS_TRY(const TPML_PCR_SELECTION asked, to_tpm(left));
  std::uint32_t counter = 0;
  Out<TPML_PCR_SELECTION> given;
  Out<TPML_DIGEST> digests;
  CS_CHECK(device.call("TPM2_PCR_Read", [&](ESYS_CONTEXT* esys) {
    return Esys_PCR_Read(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &asked, &counter,
                         given.out(), digests.out());
  }));
  const Error wrong(ErrorKind::invalid, "TPM2_PCR_Read: the TPM answers another question");
  UINT32 next = 0;
  for (const auto& bank : from_tpm(*given).banks) {
    const auto wanted =
        std::ranges::find(left.banks, bank.algorithm, &PcrSelection::Bank::algorithm);
    if (bank.registers == 0) continue;
    if (wanted == left.banks.end() || (bank.registers & ~wanted->registers) != 0) return wrong;
    for (std::uint32_t index = 0; index < pcr_count; ++index) {
      if ((bank.registers >> index & 1U) == 0) continue;
      if (next == digests->count) return wrong;
      CS_TRY(const Digest value, Digest::from(bank.algorithm, view(digests->digests[next++])));
      CS_CHECK(values.set(index, value));
    }
    wanted->registers &= ~bank.registers;
  }
  if (next != digests->count) return wrong;
  std::erase_if(left.banks, [](const auto& bank) { return bank.registers == 0; });
  if (next != 0) return counter;
  return Error(ErrorKind::unsupported, "the TPM has none of the PCRs " + left.text())
      .with_hint("see countersign tpm status for its banks");
}

// Nothing: the counter moved meanwhile.
Result<std::optional<PcrValues>> read_once(Device& device, PcrSelection left) {
  PcrValues values;
  std::optional<std::uint32_t> first;
  std::erase_if(left.banks, [](const auto& bank) { return bank.registers == 0; });
  while (!left.banks.empty()) {
    CS_TRY(const std::uint32_t counter, read_some(device, left, values));
    if (counter != first.value_or(counter)) return std::optional<PcrValues>();
    first = counter;
  }
  return std::optional(std::move(values));
}

}  // namespace

Result<PcrValues> read_pcrs(Device& device, const PcrSelection& selection) {
  for (const auto& bank : selection.banks) {
    if (device.capabilities().has_bank(bank.algorithm)) continue;
    return Error(ErrorKind::unsupported,
                 "reading PCRs: the TPM has no bank " + std::string(to_string(bank.algorithm)))
        .with_hint("see countersign tpm status for its banks; the firmware allocates them");
  }
  Backoff backoff(device.clock(), read_for);
  for (;;) {
    CS_TRY(auto values, read_once(device, selection));
    if (values) return std::move(*values);
    if (backoff.wait()) continue;
    return Error(ErrorKind::busy,
                 "reading the PCRs " + selection.text() + ": they are extended all the time")
        .with_retry(Retry::after_delay);
  }
}

Result<void> extend_pcr(Device& device, std::uint32_t index, const std::vector<Digest>& digests) {
  const std::string asked = "TPM2_PCR_Extend of PCR " + std::to_string(index);
  TPML_DIGEST_VALUES values{};
  if (index >= pcr_count || digests.empty() || digests.size() > TPM2_NUM_PCR_BANKS) {
    return Error(ErrorKind::invalid, asked + " in " + std::to_string(digests.size()) + " banks");
  }
  for (const Digest& digest : digests) {
    const auto algorithm = static_cast<TPMI_ALG_HASH>(digest.algorithm());
    for (UINT32 i = 0; i < values.count; ++i) {
      if (values.digests[i].hashAlg == algorithm) {
        return Error(ErrorKind::invalid, asked + " twice in one bank");
      }
    }
    auto& next = values.digests[values.count++];
    next.hashAlg = algorithm;
    // Every member of the union begins at the same byte and is as long as its algorithm says.
    std::ranges::copy(digest.bytes(), &next.digest.sha512[0]);
  }
  return device.call(asked, [&](ESYS_CONTEXT* esys) {
    return Esys_PCR_Extend(esys, ESYS_TR_PCR0 + index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                           &values);
  });
}

Result<void> reset_pcr(Device& device, std::uint32_t index) {
  const std::string asked = "TPM2_PCR_Reset of PCR " + std::to_string(index);
  if (index != 16 && index != 23) {
    return Error(ErrorKind::denied, asked + ": only a reset of the machine resets it")
        .with_hint("PCR 16 and 23 can be reset");
  }
  return device.call(asked, [&](ESYS_CONTEXT* esys) {
    return Esys_PCR_Reset(esys, ESYS_TR_PCR0 + index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
  });
}

}  // namespace cs::tpm
