// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/cli/manual.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <string>
#include <vector>

namespace cs::cli {
namespace {

// A line that roff takes for text, whatever is in it.
std::string escaped(const std::string& text) {
  std::string line;
  bool bold = false;
  for (const char c : text) {
    if (c == '\\') {
      line += "\\e";
    } else if (c == '-') {
      line += "\\-";
    } else if (c == '`') {
      bold = !bold;
      line += bold ? "\\fB" : "\\fR";
    } else {
      line += c;
    }
  }
  if (line.starts_with('.') || line.starts_with('\'')) line.insert(0, "\\&");
  return line + "\n";
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

// What is typed as it stands is bold, what stands for something else in italics.
std::string set_words(const std::string& text) {
  std::istringstream words(text);
  std::string line;
  std::string word;
  while (words >> word) {
    const bool stands_for_something = word == upper(word) && !word.starts_with('-');
    line += (line.empty() ? "" : " ");
    line += (stands_for_something ? "\\fI" : "\\fB");
    line += word + "\\fR";
  }
  std::string set;
  for (const char c : line) set += c == '-' ? "\\-" : std::string(1, c);
  return set + "\n";
}

std::string set_text(const std::string& text) {
  std::string roff;
  bool in_examples = false;
  for (const std::string& paragraph : paragraphs(text)) {
    if (is_example(paragraph) != in_examples)
      roff += in_examples ? ".fi\n.RE\n" : ".PP\n.RS 4\n.nf\n";
    in_examples = is_example(paragraph);
    if (!in_examples) roff += ".PP\n";
    roff += escaped(in_examples ? paragraph.substr(2) : paragraph);
  }
  return roff + (in_examples ? ".fi\n.RE\n" : "");
}

std::string set_option(const Option& option) {
  std::string names =
      option.short_name.empty() ? option.name : option.short_name + ", " + option.name;
  if (!option.value.empty() && !option.is_argument()) names += " " + option.value;
  return ".TP\n" + set_words(names) + escaped(option.help);
}

std::string set_options(const Command& command, bool common) {
  std::string roff;
  for (const Option& option : command.options) {
    const bool is_common = option.name == "--help" || option.name == "--version";
    if (is_common == common) roff += set_option(option);
  }
  return roff;
}

}  // namespace

std::string manual(const Tree& tree, const std::vector<Section>& closing) {
  const Command& program = tree.front();
  std::string roff = ".\\\" Written by the program itself, from its commands and options.\n.TH " +
                     upper(program.path) +
                     " 8 \"2026\" \"Countersign\" \"System administration\"\n";
  roff += ".SH NAME\n" + program.path + " \\- " + escaped(program.summary);
  roff += ".SH SYNOPSIS\n.nf\n";
  for (const Command& command : tree) {
    if (commands_below(tree, command).empty()) roff += set_words(command.usage());
  }
  roff += set_words(program.path + " --help|--version") + ".fi\n";
  roff += ".SH DESCRIPTION\n" + set_text(program.text) + ".SH COMMANDS\n";
  for (const Command& command : tree) {
    if (&command == &program) continue;
    roff += ".SS " + escaped(command.path) + escaped(command.summary + ".");
    roff += set_options(command, false) + set_text(command.text);
  }
  roff += ".SH OPTIONS\n" + set_options(program, true);
  for (const Section& section : closing) {
    roff += ".SH " + escaped(section.heading) + set_text(section.text);
  }
  return roff;
}

}  // namespace cs::cli
