// SPDX-License-Identifier: GPL-3.0-or-later
// Scripts that complete a program's command line: its commands, their options, and what these take.
#pragma once

#include <string>

#include "tools/cli/tree.h"

namespace cs::cli {

[[nodiscard]] std::string bash_completion(const Tree& tree);
[[nodiscard]] std::string zsh_completion(const Tree& tree);
[[nodiscard]] std::string fish_completion(const Tree& tree);

}  // namespace cs::cli
