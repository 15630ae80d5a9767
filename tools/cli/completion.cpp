// SPDX-License-Identifier: GPL-3.0-or-later
// In all three a command is known by its "place": its path without the program, each word after a
// space: " packet sign".
#include "tools/cli/completion.h"

#include <string>
#include <string_view>
#include <vector>

namespace cs::cli {
namespace {

std::string replaced(std::string text, char what, std::string_view by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, 1, by);
    at += by.size();
  }
  return text;
}

std::string joined(const std::vector<std::string>& words, const std::string& separator) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

std::string place(const Command& command) {
  return command.arguments().empty() ? std::string() : " " + command.arguments();
}

std::string function_of(const std::string& path) {
  return "_" + replaced(replaced(path, ' ', "_"), '-', "_");
}

bool takes_files(const Option& option) {
  return option.value == "FILE";
}
bool takes_directories(const Option& option) {
  return option.value == "DIRECTORY";
}

std::string places(const Tree& tree, const std::string& separator) {
  std::vector<std::string> quoted;
  for (const Command& command : tree) {
    if (&command != &tree.front()) quoted.push_back("'" + place(command) + "'");
  }
  return joined(quoted, separator);
}

// bash: what follows an option that takes a value.
std::string bash_value(const Option& option) {
  if (takes_files(option)) return "kind=f";
  if (takes_directories(option)) return "kind=d";
  return "words='" + joined(option.choices(), " ") + "'";
}

std::string bash_values(const Tree& tree) {
  std::string cases;
  for (const Command& command : tree) {
    for (const Option& option : command.options) {
      if (option.is_argument() || option.value.empty()) continue;
      cases += "    '" + place(command) + " " + option.name + "') " + bash_value(option) + " ;;\n";
    }
  }
  return cases;
}

std::string bash_words(const Tree& tree, const Command& command) {
  std::vector<std::string> words;
  std::string otherwise;
  for (const Command& below : commands_below(tree, command)) words.push_back(below.name());
  for (const Option& option : command.options) {
    if (!option.is_argument()) {
      words.push_back(option.name);
    } else if (option.choices().empty()) {
      otherwise = "; [[ $cur == -* ]] || " + bash_value(option);
    } else {
      words.push_back(joined(option.choices(), " "));
    }
  }
  return "words='" + joined(words, " ") + "'" + otherwise;
}

std::string zsh_quoted(const std::string& text) {
  return replaced(text, '\'', "'\\''");
}

// In a specification of _arguments the text of an option stands in brackets, between colons.
std::string zsh_text(const std::string& text) {
  std::string safe = zsh_quoted(replaced(text, '\\', "\\\\"));
  for (const char c : {'[', ']', ':'}) safe = replaced(safe, c, std::string("\\") + c);
  return safe;
}

std::string zsh_value(const Option& option) {
  if (takes_files(option)) return ":FILE:_files";
  if (takes_directories(option)) return ":DIRECTORY:_files -/";
  if (!option.choices().empty()) return ":one of:(" + joined(option.choices(), " ") + ")";
  return ":" + zsh_text(option.value) + ": ";
}

// `place`: an argument's among the command's, from 1.
std::string zsh_argument(const Option& option, int place) {
  return "'" + (option.repeats ? "*" : std::to_string(place)) + zsh_value(option) + "'";
}

std::string zsh_option(const Option& option) {
  const std::string text = "[" + zsh_text(option.help) + "]";
  const std::string repeats = option.repeats ? "*" : "";
  if (!option.value.empty())
    return "'" + repeats + option.name + "=" + text + zsh_value(option) + "'";
  if (option.short_name.empty()) return "'" + option.name + text + "'";
  return "'(" + option.short_name + " " + option.name + ")'{" + option.short_name + "," +
         option.name + "}'" + text + "'";
}

std::string zsh_command(const Tree& tree, const Command& command) {
  const std::vector<Command> below = commands_below(tree, command);
  std::string text = function_of(command.path) + "() {\n";
  if (!below.empty()) {
    text += "  local state line\n  local -a commands=(\n";
    for (const Command& one : below)
      text += "    '" + one.name() + ":" + zsh_quoted(one.summary) + "'\n";
    text += "  )\n";
  }
  text += below.empty() ? "  _arguments" : "  _arguments -C";
  int place = 0;
  for (const Option& option : command.options) {
    text += " \\\n    ";
    text += option.is_argument() ? zsh_argument(option, ++place) : zsh_option(option);
  }
  if (below.empty()) return text + "\n}\n";
  text += " \\\n    '1:command:->command' '*::argument:->argument'\n  case $state in\n";
  text += "    command) _describe command commands ;;\n    argument)\n      case $words[1] in\n";
  for (const Command& one : below) {
    text += "        " + one.name() + ") " + function_of(one.path) + " ;;\n";
  }
  return text + "      esac ;;\n  esac\n}\n";
}

std::string fish_text(const std::string& text) {
  return "'" + replaced(replaced(text, '\\', "\\\\"), '\'', "\\'") + "'";
}

std::string fish_value(const Option& option) {
  if (takes_files(option)) return " -r -F";
  if (takes_directories(option)) return " -x -a '(__fish_complete_directories)'";
  if (!option.choices().empty()) return " -x -a '" + joined(option.choices(), " ") + "'";
  return " -x";
}

std::string fish_option(const Option& option) {
  if (option.is_argument()) {
    return takes_files(option) ? " -F" : " -a '" + joined(option.choices(), " ") + "'";
  }
  std::string text = " -l " + option.name.substr(2);
  if (!option.short_name.empty()) text += " -s " + option.short_name.substr(1);
  if (!option.value.empty()) text += fish_value(option);
  return text + " -d " + fish_text(option.help);
}

}  // namespace

std::string bash_completion(const Tree& tree) {
  const std::string name = tree.front().path;
  std::string text = "# bash completion for " + name + "\n" + function_of(name) + R"(() {
  local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} place='' words='' kind='' i
  if [[ $cur == = ]]; then  # of --option=value, which comes as three words
    cur=''
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$place ${COMP_WORDS[i]}" in
      )" + places(tree, "|") +
                     R"() place+=" ${COMP_WORDS[i]}" ;;
    esac
  done
  case "$place $previous" in
)" + bash_values(tree) +
                     "    *)\n      case $place in\n";
  for (const Command& command : tree) {
    text += "        '" + place(command) + "') " + bash_words(tree, command) + " ;;\n";
  }
  return text + R"(      esac ;;
  esac
  if [[ -n $kind ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -"$kind" -- "$cur")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  fi
}
complete -F )" +
         function_of(name) + " " + name + "\n";
}

std::string zsh_completion(const Tree& tree) {
  const std::string name = tree.front().path;
  std::string text = "#compdef " + name + "\n";
  for (const Command& command : tree) text += zsh_command(tree, command);
  return text + "if [[ $funcstack[1] == " + function_of(name) + " ]]; then\n  " +
         function_of(name) + " \"$@\"\nelse\n  compdef " + function_of(name) + " " + name +
         "\nfi\n";
}

std::string fish_completion(const Tree& tree) {
  const std::string name = tree.front().path;
  std::string text = "# fish completion for " + name + "\nfunction __" + name + R"(_at
    set -l place
    for word in (commandline -opc)[2..-1]
        contains -- "$place $word" )" +
                     places(tree, " ") + R"(; and set place "$place $word"
    end
    test "$place" = "$argv[1]"
end
complete -c )" + name +
                     " -f\n";
  const std::string here = "complete -c " + name + " -n '__" + name + "_at \"";
  for (const Command& command : tree) {
    std::string begin = here;
    begin.append(place(command)).append("\"'");
    for (const Command& below : commands_below(tree, command)) {
      text += begin + " -a " + below.name() + " -d " + fish_text(below.summary) + "\n";
    }
    for (const Option& option : command.options) {
      text.append(begin).append(fish_option(option)).append("\n");
    }
  }
  return text;
}

}  // namespace cs::cli
