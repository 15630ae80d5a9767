// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign doctor`, without its command line.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "tools/doctor/check.h"
#include "tools/inspect/outcome.h"

namespace cs::doctor {

struct Options {
  std::vector<std::string> only;  // codes; empty: all
  bool json = false;
};

// good: this machine can be a gateway; refused: it cannot; unreadable: nobody knows.
inspect::Outcome run(const Options& options, const Machine& machine, std::ostream& out,
                     std::ostream& err);

}  // namespace cs::doctor
