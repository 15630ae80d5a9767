// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/cli/tree.h"

#include <algorithm>
#include <cstddef>

namespace cs::cli {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::string parent_of(const std::string& path) {
  const std::size_t space = path.rfind(' ');
  return space == std::string::npos ? std::string() : path.substr(0, space);
}

}  // namespace

std::vector<std::string> Option::choices() const {
  if (value.find('|') == std::string::npos) return {};
  return split(value, '|');
}

std::string Command::name() const {
  return path.substr(path.rfind(' ') + 1);
}

std::string Command::arguments() const {
  const std::size_t space = path.find(' ');
  return space == std::string::npos ? std::string() : path.substr(space + 1);
}

std::string Command::usage() const {
  std::string named = path;
  std::string others;
  bool more = false;
  for (const Option& option : options) {
    if (option.is_argument()) {
      const std::string& shown = option.choices().empty() ? option.name : option.value;
      others +=
          (option.required ? " " + shown : " [" + shown + "]") + (option.repeats ? "..." : "");
    } else if (option.required) {
      named += " " + option.name + " " + option.value;
    } else {
      more = more || option.name != "--help";
    }
  }
  return named + (more ? " [OPTION]..." : "") + others;
}

std::vector<Command> commands_below(const Tree& tree, const Command& command) {
  std::vector<Command> found;
  std::copy_if(tree.begin(), tree.end(), std::back_inserter(found),
               [&](const Command& other) { return parent_of(other.path) == command.path; });
  return found;
}

std::vector<std::string> paragraphs(std::string_view text) {
  return split(text, '\n');
}

bool is_example(std::string_view paragraph) {
  return paragraph.starts_with("  ");
}

}  // namespace cs::cli
