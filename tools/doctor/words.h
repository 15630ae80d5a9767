// SPDX-License-Identifier: GPL-3.0-or-later
// How checks put what they found.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "tools/doctor/check.h"

namespace cs::doctor {

inline Finding good(std::string reason) {
  return {Verdict::good, std::move(reason)};
}
// `bad` with the error's words; `unchecked` if the question was not allowed.
Finding refused(const Error& error, std::string command = {}, std::string advice = {});
Finding unchecked(const Error& error);

// One more behind what is there: of words, of commands.
inline void add(std::string& text, const std::string& more) {
  if (!text.empty()) text += "; ";
  text += more;
}

// A word for a shell.
std::string shell_word(std::string_view word);

// How a kernel module is had here: a command that loads it, past what keeps it from loading, or the
// option of the kernel that is missing.
struct ModuleCure {
  std::string reason;  // what keeps it from loading; empty: nothing does that is seen
  std::string command;
  std::string advice;
};
ModuleCure module_cure(const Machine& machine, const std::string& module, std::string_view option);
// The same, put to a finding.
Finding without_module(const Machine& machine, std::string reason, const std::string& module,
                       std::string_view option);

}  // namespace cs::doctor
