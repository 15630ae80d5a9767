// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/cli/help.h"

#include <cctype>
#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace cs::cli {
namespace {

constexpr std::size_t columns = 80;
constexpr std::size_t indent = 26;  // of what stands beside a name

// The words in lines; each line but the first is indented, and the first has `used` columns less.
std::string wrapped(const std::string& text, std::size_t used, std::size_t indented) {
  std::istringstream words(text);
  std::string lines;
  std::string word;
  std::size_t column = used;
  bool first = true;
  while (words >> word) {
    if (!first && column + 1 + word.size() > columns) {
      lines += "\n" + std::string(indented, ' ');
      column = indented;
    } else if (!first) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
    first = false;
  }
  return lines + "\n";
}

std::string entry(const std::string& name, const std::string& text) {
  std::string line = "  " + name;
  if (line.size() + 2 > indent) {
    line += "\n" + std::string(indent, ' ');
  } else {
    line.append(indent - line.size(), ' ');
  }
  return line + wrapped(text, indent, indent);
}

// A program's own begins small, as manual pages want it.
std::string capitalised(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

std::string option_name(const Option& option) {
  if (option.is_argument()) return option.name;
  return (option.short_name.empty() ? "" : option.short_name + ", ") + option.name +
         (option.value.empty() ? "" : " " + option.value);
}

}  // namespace

std::string help_text(const Tree& tree, const Command& command) {
  const std::vector<Command> below = commands_below(tree, command);
  std::string text = wrapped(capitalised(command.summary), 0, 0) + "\nUsage: ";
  text += below.empty() ? wrapped(command.usage(), 7, 9) : command.path + " COMMAND ...\n";
  if (!below.empty()) text += "\nCommands:\n";
  for (const Command& one : below) text += entry(one.name(), one.summary);
  text += "\nOptions:\n";
  for (const Option& option : command.options) text += entry(option_name(option), option.help);
  bool in_examples = false;
  for (const std::string& paragraph : paragraphs(command.text)) {
    if (!is_example(paragraph)) {
      text += "\n" + wrapped(paragraph, 0, 0);
    } else {
      text += (in_examples ? "" : "\n") + paragraph + "\n";
    }
    in_examples = is_example(paragraph);
  }
  return text;
}

}  // namespace cs::cli
