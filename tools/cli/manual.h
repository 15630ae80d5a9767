// SPDX-License-Identifier: GPL-3.0-or-later
// A manual page of section 8, in the roff of man(7).
#pragma once

#include <string>
#include <vector>

#include "tools/cli/tree.h"

namespace cs::cli {

// What no command of the tree can say, as EXIT STATUS; texts as those of commands.
struct Section {
  std::string heading;
  std::string text;
};

// In a text, `words in backquotes` are set bold.
[[nodiscard]] std::string manual(const Tree& tree, const std::vector<Section>& closing);

}  // namespace cs::cli
