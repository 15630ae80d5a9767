// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <iosfwd>

#include "base/error.h"

namespace cs::inspect {

// What a verb prints with --json in place of a report: nothing was judged, or not all of it.
void write_error_json(const Error& error, std::ostream& out);

}  // namespace cs::inspect
