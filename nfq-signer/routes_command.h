// SPDX-License-Identifier: GPL-3.0-or-later
// `nfq-signer routes`, behind its command line.
#pragma once

#include <iosfwd>
#include <string>

#include "base/result.h"

namespace cs {

struct RoutesRequest {
  std::string memory;  // the file; see InnerRoutes
  std::string user;    // whose it is; root becomes it
  bool restore = false;
};

// Writes which inner routes have an MTU of ours to `out`, or puts back what they had.
Result<void> run_routes(const RoutesRequest& request, std::ostream& out);

}  // namespace cs
