// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/inspect/console.h"

#include <unistd.h>

#include <iostream>

namespace cs::inspect {

Console console() {
  return {std::cin, ::isatty(STDIN_FILENO) == 1, std::cout, std::cerr};
}

std::optional<std::string> ask_line(const Console& console, const std::string& question,
                                    const std::string& otherwise) {
  std::string answer;
  if (console.is_terminal) {
    console.err << question << ": " << std::flush;
    if (std::getline(console.in, answer)) return answer;
  }
  const Error nobody = Error(ErrorKind::invalid, "there is nobody to be asked")
                           .with_hint("run it on a terminal, or give " + otherwise);
  console.err << "countersign: " << nobody.message() << "\n";
  return std::nullopt;
}

std::optional<Outcome> unless_typed(const Console& console, const std::string& question,
                                    const std::string& expected, const std::string& otherwise) {
  const auto answer = ask_line(console, question, otherwise);
  if (!answer) return Outcome::usage;
  if (*answer == expected) return std::nullopt;
  console.err << "countersign: that is not '" << expected << "': nothing was done\n";
  return Outcome::refused;
}

}  // namespace cs::inspect
