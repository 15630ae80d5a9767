// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <sys/types.h>

#include <string>
#include <variant>

#include "tests/standin/signing_desk.h"

namespace cs::standin {

struct Options {
  std::string socket;
  std::string scenario;
  uid_t uid = 0;  // who may connect
  Behaviour behaviour;
};

// The options, or the exit code with which to end.
std::variant<Options, int> read_options(int argc, char** argv);

}  // namespace cs::standin
