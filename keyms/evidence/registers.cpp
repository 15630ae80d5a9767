// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/registers.h"

namespace cs::keyms {

tpm::PcrSelection signing_registers(const Gateway& gateway) {
  std::uint32_t registers = 1U << gateway.static_pcr;
  for (const BootRule& rule : gateway.boot) registers |= 1U << rule.pcr;
  return {{{tpm::HashAlgorithm::sha256, registers}}};
}

tpm::PcrSelection quoted_registers(const Gateway& gateway) {
  tpm::PcrSelection selection = signing_registers(gateway);
  std::uint32_t& registers = selection.banks.front().registers;
  if (gateway.event_register.kind == tpm::CelRegister::Kind::pcr) {
    registers |= 1U << gateway.event_register.number;
  }
  if (gateway.ima) registers |= (1U << ima_pcr) | ((1U << boot_aggregate_pcrs) - 1);
  return selection;
}

}  // namespace cs::keyms
