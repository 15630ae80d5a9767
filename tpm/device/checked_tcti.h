// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tpm/device/device.h"

namespace cs::tpm {

// tpm2-tss believes the size that an answer's header states, not how many bytes arrived: of a short
// answer it would read on in what its buffer held before. This one refuses an answer that has not
// exactly the length it states (TCTI, MALFORMED_RESPONSE). And whoever has a software TPM does not
// die of SIGPIPE when that goes away.
[[nodiscard]] Tcti checked(Tcti inner);

}  // namespace cs::tpm
