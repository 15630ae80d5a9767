// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd: answers its operator from the first moment on, opens TPM and store when they can be
// opened, and conducts the gateway from then on. Until then, and whenever it does not run, the data
// plane has no keys and nothing passes.
#pragma once

#include <string>

#include "keyms/daemon/config.h"

namespace cs::keyms {

// Until a signal ends it. An error: it could not begin, or something failed that only a new
// process can mend.
//
// `path`: where the configuration was read.
Result<void> run_daemon(const DaemonConfig& config, const std::string& path,
                        const std::string& release);

}  // namespace cs::keyms
