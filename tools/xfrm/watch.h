// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign xfrm watch`: what happens to the kernel's IPsec, as it happens.
#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

#include "base/clock.h"
#include "tools/inspect/outcome.h"

namespace cs::xfrm {

struct WatchCommandOptions {
  bool json = false;
  unsigned audit_seconds = 60;
  std::string vici;  // socket of the IKE daemon; empty: SAs are held against nobody's
  unsigned grace_seconds = 10;
};

// Until SIGINT or SIGTERM, which it takes for the whole process: good. Unreadable: the kernel does
// not tell, or no longer.
[[nodiscard]] inspect::Outcome watch(const WatchCommandOptions& options, const Clock& clock,
                                     std::ostream& out, std::ostream& err);

}  // namespace cs::xfrm
