// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/cli/app.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"
#include "tools/cli/help.h"

namespace cs::cli {
namespace {

std::string path_of(const CLI::App& app) {
  std::string path = app.get_name();
  for (const CLI::App* above = app.get_parent(); above != nullptr; above = above->get_parent()) {
    path.insert(0, above->get_name() + " ");
  }
  return path;
}

Option describe_option(const CLI::Option& option) {
  Option described;
  described.help = option.get_description();
  described.required = option.get_required();
  if (option.get_positional()) {
    described.name = option.get_name(true);
  } else {
    described.name = "--" + option.get_lnames().front();
    if (!option.get_snames().empty()) described.short_name = "-" + option.get_snames().front();
  }
  if (option.get_items_expected_max() > 0) {
    const std::string type = option.get_type_name();  // followed by ":" and the validators'
    described.value = type.substr(0, type.find(':'));
    described.repeats = option.get_expected_max() > 1;
    described.least = option.get_expected_min();
    if (!option.get_default_str().empty()) described.help += " (" + option.get_default_str() + ")";
  }
  return described;
}

// CLI11 hands a footer down to the commands below, which is not their own.
std::string text_of(const CLI::App& app) {
  const CLI::App* above = app.get_parent();
  const std::string text = app.get_footer();
  return above != nullptr && above->get_footer() == text ? std::string() : text;
}

Command describe_command(const CLI::App& app) {
  Command command{path_of(app), app.get_description(), text_of(app), {}};
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) command.options.push_back(describe_option(*option));
  }
  // CLI11 has --help first; the reader wants what is the command's own.
  const auto is_common = [](const Option& option) {
    return option.name != "--help" && option.name != "--version";
  };
  std::stable_partition(command.options.begin(), command.options.end(), is_common);
  return command;
}

const Command& find(const Tree& tree, const std::string& path) {
  const auto found = std::find_if(tree.begin(), tree.end(),
                                  [&](const Command& command) { return command.path == path; });
  return found == tree.end() ? tree.front() : *found;
}

const CLI::App& program_of(const CLI::App& app) {
  const CLI::App* above = &app;
  while (above->get_parent() != nullptr) above = above->get_parent();
  return *above;
}

const CLI::App& chosen_of(const CLI::App& program) {
  const CLI::App* chosen = &program;
  while (!chosen->get_subcommands().empty()) chosen = chosen->get_subcommands().front();
  return *chosen;
}

std::string did_you_mean(const std::optional<std::string>& meant) {
  return meant ? "; did you mean '" + *meant + "'?" : std::string();
}

// Of a word that the command cannot take: what it may have been.
std::string unexpected(const Tree& tree, const Command& command, const std::string& word) {
  std::vector<Candidate> candidates;
  if (word.starts_with('-')) {
    for (const Option& option : command.options) {
      if (!option.is_argument()) candidates.push_back({option.name, option.name});
    }
    const std::string name = word.substr(0, word.find('='));
    return "there is no option '" + word + "'" + did_you_mean(nearest(name, candidates));
  }
  if (commands_below(tree, command).empty()) return "'" + word + "' is one word too many";
  // Below this command first, but a person may well remember the verb and not its family.
  for (const Command& below : commands_below(tree, command)) {
    candidates.push_back({below.name(), below.path});
  }
  for (const Command& any : tree) candidates.push_back({any.name(), any.path});
  return "there is no command '" + word + "'" + did_you_mean(nearest(word, candidates));
}

// CLI11 counts, and has the option's name before a colon: "--in: 1 required FILE missing".
std::string wrong_number(const Command& command, const std::string& counted) {
  const std::string name = counted.substr(0, counted.find(':'));
  for (const Option& option : command.options) {
    if (option.name != name) continue;
    if (option.least > 1) return name + " takes " + std::to_string(option.least) + " of them";
    return name + (option.repeats ? " needs a " : " takes one ") + option.value;
  }
  return counted;
}

std::string reason(const Tree& tree, const Command& command, const CLI::App& program,
                   const CLI::ParseError& error) {
  const std::vector<std::string> extra = program.remaining(true);
  if (!extra.empty()) return unexpected(tree, command, extra.front());
  const std::vector<Command> below = commands_below(tree, command);
  if (below.empty()) {
    const bool counted = dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr;
    return counted ? wrong_number(command, error.what()) : error.what();
  }
  std::string names;
  for (const Command& one : below) names += (names.empty() ? "" : ", ") + one.name();
  return "say what to do: one of " + names;
}

}  // namespace

void set_up_help(CLI::App& program) {
  program.set_help_flag("-h,--help", "Print what the command can do");
  program.require_subcommand(0, 1);
  program.formatter_fn([](const CLI::App* app, const std::string&, CLI::AppFormatMode) {
    const Tree tree = describe(program_of(*app));
    return help_text(tree, find(tree, path_of(*app)));
  });
}

Tree describe(const CLI::App& program) {
  Tree tree;
  std::vector<const CLI::App*> waiting{&program};
  while (!waiting.empty()) {
    const CLI::App& app = *waiting.back();
    waiting.pop_back();
    tree.push_back(describe_command(app));
    const auto below =
        app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
    waiting.insert(waiting.end(), below.rbegin(), below.rend());
  }
  return tree;
}

std::string wrong_usage(const CLI::App& program, const CLI::ParseError& error) {
  const Tree tree = describe(program);
  const Command& command = find(tree, path_of(chosen_of(program)));
  const std::string where = command.arguments();
  const std::string why = reason(tree, command, program, error);
  std::string said =
      Error(ErrorKind::invalid, (where.empty() ? "" : where + ": ") + why).message() + "\n";
  const std::vector<std::string> text = paragraphs(command.text);
  const auto example = std::find_if(text.begin(), text.end(), is_example);
  if (example != text.end()) said += "For example:\n" + *example + "\n";
  return said + "All that it can do: " + command.path + " --help\n";
}

}  // namespace cs::cli
