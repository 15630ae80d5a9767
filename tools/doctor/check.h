// SPDX-License-Identifier: GPL-3.0-or-later
// What a gateway needs of its machine, as a table of checks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/doctor/machine.h"

namespace cs::doctor {

enum class Verdict : std::uint8_t {
  good,
  warning,    // a gateway, with less than it could have
  bad,        // no gateway
  unchecked,  // nobody knows, and why
};
[[nodiscard]] std::string_view to_string(Verdict verdict) noexcept;

struct Finding {
  Verdict verdict = Verdict::good;
  std::string reason;
  std::string command =
      {};                   // for a shell: mends it, until the next boot where it does not say more
  std::string advice = {};  // what no command does, or what to do besides
};

struct Check {
  std::string_view code;  // stable
  std::string_view subject;
  bool decides;  // without an answer nobody knows whether this can be a gateway
  Finding (*look)(const Machine&);
};

// In the order in which one would mend things.
[[nodiscard]] std::span<const Check> all_checks() noexcept;

struct Diagnosis {
  struct Line {
    const Check* check = nullptr;
    Finding finding;
  };
  std::vector<Line> lines;

  [[nodiscard]] std::size_t count(Verdict verdict) const noexcept;
  // Nothing is bad, but something that decides could not be looked at.
  [[nodiscard]] bool is_open() const noexcept;
};

Diagnosis examine(const Machine& machine, std::span<const Check* const> checks);

}  // namespace cs::doctor
