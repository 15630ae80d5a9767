// SPDX-License-Identifier: GPL-3.0-or-later
// What --help prints, in lines of 80 columns.
#pragma once

#include <string>

#include "tools/cli/tree.h"

namespace cs::cli {

[[nodiscard]] std::string help_text(const Tree& tree, const Command& command);

}  // namespace cs::cli
