// SPDX-License-Identifier: GPL-3.0-or-later
// The commands of `countersign`, a family in each file: their options, their words for the reader,
// and the call of the function that does the work.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/result.h"

namespace cs::verbs {

// What the command line chose to do.
struct Chosen {
  const Clock& clock;
  std::function<int()> run;  // gives the exit status; none: show the help
};

void add_packet(CLI::App& program, Chosen& chosen);
void add_key(CLI::App& program, Chosen& chosen);
void add_inspect(CLI::App& program, Chosen& chosen);
void add_doctor(CLI::App& program, Chosen& chosen);
void add_tpm(CLI::App& program, Chosen& chosen);
void add_xfrm(CLI::App& program, Chosen& chosen);
void add_policy(CLI::App& program, Chosen& chosen);
void add_agreed(CLI::App& policy, Chosen& chosen);  // of a policy, what keymsd has to do with it
void add_keymsd(CLI::App& program, Chosen& chosen);
void add_recovery(CLI::App& program, Chosen& chosen);
void add_gate(CLI::App& program, Chosen& chosen);
void add_digest_list(CLI::App& program, Chosen& chosen);
void add_approve(CLI::App& program, Chosen& chosen);

inline void when_chosen(CLI::App& command, Chosen& chosen, std::function<int()> work) {
  command.callback([&chosen, work = std::move(work)] { chosen.run = work; });
}

// For an option whose text `parse` understands: what it says is in `out`, or why not on the screen.
template <class T, class Parse>
CLI::Option* add_parsed(CLI::App& command, const std::string& name, T& out, Parse parse,
                        const std::string& help) {
  const auto take = [&out, parse](const std::string& text) {
    auto parsed = parse(text);
    if (!parsed.ok()) throw CLI::ValidationError(parsed.error().message());
    out = std::move(parsed).value();
  };
  return command.add_option_function<std::string>(name, take, help);
}

// Where keymsd answers.
inline void add_socket(CLI::App& command, std::string& socket) {
  command.add_option("--socket", socket, "keymsd's control socket")
      ->type_name("FILE")
      ->capture_default_str();
}

}  // namespace cs::verbs
