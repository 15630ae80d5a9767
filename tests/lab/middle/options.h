// SPDX-License-Identifier: GPL-3.0-or-later
// The command line of cs-middle.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "tests/lab/middle/engine.h"

namespace cs::middle {

struct Options {
  std::uint16_t queue = 0;
  Plan plan;
  std::string ready_file;  // empty: none
  std::string stats_file;  // empty: none
};

// The options, or the code to exit with: --help was printed (0), or what is wrong (not 0).
std::variant<Options, int> read_options(int argc, char** argv);

}  // namespace cs::middle
