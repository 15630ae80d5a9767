// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/esys.h"

namespace cs::tpm {

Result<TPM2B_PUBLIC> read_public(Device& device, EsysHandle key, std::string_view what) {
  Out<TPM2B_PUBLIC> area;
  const std::string asked = "TPM2_ReadPublic of " + std::string(what);
  CS_CHECK(device.call(asked, [&](ESYS_CONTEXT* esys) {
    Out<TPM2B_NAME> name;
    Out<TPM2B_NAME> qualified;
    return Esys_ReadPublic(esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, area.out(),
                           name.out(), qualified.out());
  }));
  return *area;
}

Result<TPML_PCR_SELECTION> to_tpm(const PcrSelection& selection) {
  TPML_PCR_SELECTION to{};
  if (selection.banks.empty() || selection.banks.size() > TPM2_NUM_PCR_BANKS) {
    return Error(ErrorKind::invalid,
                 "a PCR selection of " + std::to_string(selection.banks.size()) + " banks");
  }
  for (const auto& bank : selection.banks) {
    auto& next = to.pcrSelections[to.count++];
    next.hash = static_cast<TPMI_ALG_HASH>(bank.algorithm);
    next.sizeofSelect = 3;
    for (unsigned i = 0; i < 3; ++i) {
      next.pcrSelect[i] = static_cast<BYTE>(bank.registers >> (8 * i));
    }
  }
  return to;
}

PcrSelection from_tpm(const TPML_PCR_SELECTION& selection) {
  PcrSelection from;
  for (UINT32 i = 0; i < std::min<UINT32>(selection.count, TPM2_NUM_PCR_BANKS); ++i) {
    const auto& bank = selection.pcrSelections[i];
    const auto algorithm = hash_algorithm(bank.hash);
    if (!algorithm) continue;
    std::uint32_t registers = 0;
    for (unsigned byte = 0; byte < std::min<unsigned>(bank.sizeofSelect, 3); ++byte) {
      registers |= std::uint32_t{bank.pcrSelect[byte]} << (8 * byte);
    }
    from.banks.push_back({*algorithm, registers});
  }
  return from;
}

}  // namespace cs::tpm
