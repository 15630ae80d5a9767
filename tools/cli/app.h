// SPDX-License-Identifier: GPL-3.0-or-later
// What this folder makes of a CLI11 program: the tree of its commands, its help, and what is said
// of a command line that is wrong.
//
// In CLI11's words: a command's description is the summary and its footer the text; an option's
// type_name is its value (see tree.h); a command or option of group "" is hidden.
#pragma once

#include <string>

#include "tools/cli/tree.h"

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace cs::cli {

// Call it before commands are added: they inherit it.
void set_up_help(CLI::App& program);

[[nodiscard]] Tree describe(const CLI::App& program);

// Why the command line was refused, after parsing it; what may have been meant, and an example.
[[nodiscard]] std::string wrong_usage(const CLI::App& program, const CLI::ParseError& error);

}  // namespace cs::cli
