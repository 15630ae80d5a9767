// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <string>
#include <string_view>
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

// What a program that steers packets says of a refusal: its first line, as `denied`, as `busy`
// (another works at the same), or else as `unsupported` with this hint.
[[nodiscard]] Error refusal_of(const std::string& program, const std::string& words,
                               std::string_view hint);

// Its standard output. Any exit code but 0 is a refusal, and an output that was cut off is none.
Result<std::string> run_or_refuse(const std::vector<std::string>& argv, const std::string& input,
                                  std::string_view hint);

}  // namespace cs
