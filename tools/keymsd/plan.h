// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <iosfwd>

#include "tools/keymsd/daemon.h"

namespace cs::keymsd {

// What a plan changes, and what stands against it.
void write_changes(const Json& plan, std::ostream& out);

}  // namespace cs::keymsd
