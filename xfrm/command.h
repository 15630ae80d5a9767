// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"

namespace cs {

struct CommandOutcome {
  int exit_code = 0;   // 128 + the signal's number if one ended it
  std::string output;  // standard output, at most max_command_output bytes
  std::string errors;  // standard error, likewise
};

inline constexpr std::size_t max_command_output = std::size_t{4} << 20U;

// Runs a program of the system to its end, with `input` as its standard input. argv[0] is looked up
// in the system's own directories, never in PATH; of the environment it gets nothing. Fails with
// not_found if there is no such program, with timed_out (and kills it) if it takes too long.
Result<CommandOutcome> run_command(std::vector<std::string> argv, const std::string& input = {},
                                   std::chrono::seconds limit = std::chrono::seconds(20));

}  // namespace cs
