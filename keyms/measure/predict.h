// SPDX-License-Identifier: GPL-3.0-or-later
// What the static register will be, and the state of the machine that secrets are sealed to with
// it. Needs no TPM. A log that is yet to come is written as it will be: who reads one reads the
// other.
#pragma once

#include <set>
#include <vector>

#include "keyms/measure/story.h"
#include "tpm/seal/pcr_state.h"

namespace cs::keyms {

// What the static register has to say.
struct InForce {
  std::set<Hash> policies = {};  // core properties values
  std::set<Hash> retired = {};   // that were in force once, and are not now for a good reason
  Hash configuration{};
};

// The static log of a boot that starts with this. `explained`: what others extend before.
struct Start {
  std::uint32_t static_pcr = 15;
  std::vector<tpm::HashAlgorithm> banks;  // all the TPM has
  std::vector<tpm::ForeignEvent> explained = {};
};
[[nodiscard]] Result<tpm::Bytes> log_of_start(const Start& start, const InForce& in_force);

// This boot's static log once the policy of that value has come into force. Refused: a log that is
// empty, or in which it already is.
[[nodiscard]] Result<tpm::Bytes> log_after(ByteView log, const Hash& value);

// `boot`: of the registers that firmware and boot loader make. The static PCR is what the log makes
// of it, in the bank of SHA-256. Refused: a log of another PCR.
[[nodiscard]] Result<tpm::PcrState> sealing_state(const tpm::PcrState& boot,
                                                  std::uint32_t static_pcr, ByteView log);
// Whether secrets may be sealed to these: not to what changes while the machine runs.
[[nodiscard]] Result<void> check_boot_registers(const tpm::PcrSelection& boot,
                                                std::uint32_t static_pcr,
                                                const tpm::CelRegister& events);

}  // namespace cs::keyms
