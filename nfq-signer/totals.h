// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "keyms/signer_protocol.h"
#include "nfq-signer/counters.h"

namespace cs {

// To what keymsd is told of all workers together. Accepted is what passed unverified as well, where
// the mode has it so; a bad signature is counted there or as dropped, too.
void add_to(keyms::Status& totals, const WorkerCounters& worker) noexcept;

}  // namespace cs
