// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign inspect bootlog`: what a boot log says, and whether it replays to given PCR values.
#pragma once

#include <iosfwd>
#include <string>

#include "tools/inspect/outcome.h"

namespace cs::inspect {

// One of the files may be "-", standard input.
struct BootlogOptions {
  std::string file;
  std::string pcrs = {};  // a file of lines "sha256:0=hex"; empty: there is none
  bool json = false;
};

// Good where each PCR that is given is what the log makes of it.
[[nodiscard]] Outcome inspect_bootlog(const BootlogOptions& options, std::ostream& out,
                                      std::ostream& err);

}  // namespace cs::inspect
