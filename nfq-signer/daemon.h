// SPDX-License-Identifier: GPL-3.0-or-later
// The data plane as a service: workers, keymsd's socket, the control socket, systemd.
#pragma once

#include <string>

#include "base/result.h"
#include "nfq-signer/config.h"

namespace cs {

struct DaemonOptions {
  Config config;
  std::string user;  // to become; empty: stay who we are, which has to be little enough
  // Where RLIMIT_MEMLOCK cannot be raised: what libraries copy of keys may be swapped.
  bool allow_swapping = false;
};

// Runs until SIGTERM or SIGINT, or until it cannot go on. However it ends, the queues close and the
// kernel drops what comes.
Result<void> run_daemon(const DaemonOptions& options);

}  // namespace cs
