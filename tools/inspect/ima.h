// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign inspect ima`: what an IMA list says, and whether it replays to given PCR values.
#pragma once

#include <iosfwd>
#include <string>

#include "tools/inspect/outcome.h"

namespace cs::inspect {

// One of the files may be "-", standard input. The list is streamed, however long.
struct ImaOptions {
  std::string file;
  std::string pcrs = {};  // a file of lines "sha256:10=hex"; empty: there is none
  bool json = false;
};

// Good where each PCR that is given is a state of the list: the list may go on, as it is read later
// than the PCR. A list that contradicts itself is refused, one that cannot be read is unreadable.
[[nodiscard]] Outcome inspect_ima(const ImaOptions& options, std::ostream& out, std::ostream& err);

}  // namespace cs::inspect
