// SPDX-License-Identifier: GPL-3.0-or-later
// Which event has made a PCR differ from what something was sealed to, as far as hashes can tell.
#pragma once

#include <string>

#include "base/bytes.h"
#include "tpm/seal/pcr_state.h"

namespace cs::tpm {

// This boot's logs as they are now. Empty: there is none.
struct PcrLogs {
  ByteView boot = {};  // boot_log.h
  ByteView own = {};   // cel.h
  ByteView ima = {};   // ima_log.h
};

// One line: "event 12 of the boot log (EV_IPL) was not there when it was sealed". Empty if no log
// is of this PCR.
[[nodiscard]] std::string explain_change(const PcrState::Difference& difference,
                                         const PcrLogs& logs);

}  // namespace cs::tpm
