// SPDX-License-Identifier: GPL-3.0-or-later
// Where a command is told of and answers.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>

#include "tools/inspect/outcome.h"

namespace cs::inspect {

struct Console {
  std::istream& in;
  bool is_terminal;  // whether somebody is there to be asked
  std::ostream& out;
  std::ostream& err;
};

// This process's.
[[nodiscard]] Console console();

// Has `expected` typed, as `question` asks for; `otherwise` is the option that does without. None:
// it was; else how the command ends, which has been told.
[[nodiscard]] std::optional<Outcome> unless_typed(const Console& console,
                                                  const std::string& question,
                                                  const std::string& expected,
                                                  const std::string& otherwise);
// One line of an answer; none: nobody is there, which has been told, or they have gone.
[[nodiscard]] std::optional<std::string> ask_line(const Console& console,
                                                  const std::string& question,
                                                  const std::string& otherwise);

}  // namespace cs::inspect
