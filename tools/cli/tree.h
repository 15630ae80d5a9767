// SPDX-License-Identifier: GPL-3.0-or-later
// A program's commands and options as plain data, from which its help, its manual page and its
// completions are written. See app.h for where it comes from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cs::cli {

struct Option {
  std::string name;        // "--key"; of an argument without dashes what stands for it: "FILE"
  std::string short_name;  // "-h", or empty
  // What it takes; empty: nothing. FILE and DIRECTORY complete to those, "bash|zsh|fish" to one of
  // these words; any other is a word for the reader.
  std::string value;
  std::string help;
  bool required = false;
  bool repeats = false;
  int least = 1;  // how many values it takes at least, where it is given

  [[nodiscard]] bool is_argument() const { return !name.starts_with('-'); }
  [[nodiscard]] std::vector<std::string> choices() const;  // empty: any value
};

// Of a command's text each line is a paragraph; one that begins with two spaces is an example.
struct Command {
  std::string path;     // "countersign packet sign"
  std::string summary;  // what it does, in a line
  std::string text;     // what else is to be known
  std::vector<Option> options;

  [[nodiscard]] std::string name() const;       // "sign"
  [[nodiscard]] std::string arguments() const;  // "packet sign"; of the program itself empty
  [[nodiscard]] std::string usage() const;      // "countersign packet sign --key FILE [OPTION]..."
};

// Depth first, in the order of definition; the program itself is the first. What is hidden from
// help is not here.
using Tree = std::vector<Command>;

[[nodiscard]] std::vector<Command> commands_below(const Tree& tree, const Command& command);

// A text's lines that are not empty.
[[nodiscard]] std::vector<std::string> paragraphs(std::string_view text);
[[nodiscard]] bool is_example(std::string_view paragraph);

}  // namespace cs::cli
