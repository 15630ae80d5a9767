// SPDX-License-Identifier: GPL-3.0-or-later
// How a verb that reads something ends: its exit status, stable for scripts.
#pragma once

#include <iosfwd>

#include "base/error.h"

namespace cs::inspect {

enum class Outcome {
  good = 0,
  refused = 1,     // read, and it does not verify
  usage = 2,       // the command line is wrong
  unreadable = 3,  // a file is not there, or not what it should be
};

// The version of everything printed with --json: grows when a field changes its meaning or goes.
inline constexpr int schema_version = 1;

// Tells the error, with --json in place of a report too: nothing was judged, or not all of it. Ends
// as `outcome`.
Outcome fail(const Error& error, Outcome outcome, bool json, std::ostream& out, std::ostream& err);

}  // namespace cs::inspect
