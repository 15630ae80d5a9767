// SPDX-License-Identifier: GPL-3.0-or-later
// What verifying something found, one line for each thing that was looked at.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cs::tpm {

enum class Verdict : std::uint8_t { holds, fails, not_checked };
[[nodiscard]] constexpr std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::holds:
      return "good";
    case Verdict::fails:
      return "refused";
    case Verdict::not_checked:
      return "unchecked";
  }
  return "";
}

struct Check {
  std::string_view code;  // stable: programs decide by it, metrics count it
  Verdict verdict = Verdict::not_checked;
  std::string sentence;  // for a person, with what was expected and what was found
};

[[nodiscard]] inline Check holds(std::string_view code, std::string sentence) {
  return {code, Verdict::holds, std::move(sentence)};
}
[[nodiscard]] inline Check fails(std::string_view code, std::string sentence) {
  return {code, Verdict::fails, std::move(sentence)};
}
[[nodiscard]] inline Check not_checked(std::string_view code, std::string sentence) {
  return {code, Verdict::not_checked, std::move(sentence)};
}

// Each check is made, whatever the ones before it found. Who decides asks all_hold(): what nobody
// has looked at is not good, and no check at all is none that holds.
class Findings {
 public:
  void add(Check check) { checks_.push_back(std::move(check)); }
  void holds(std::string_view code, std::string sentence) {
    checks_.push_back({code, Verdict::holds, std::move(sentence)});
  }
  void fails(std::string_view code, std::string sentence) {
    checks_.push_back({code, Verdict::fails, std::move(sentence)});
  }
  void not_checked(std::string_view code, std::string sentence) {
    checks_.push_back({code, Verdict::not_checked, std::move(sentence)});
  }
  // `so`, or what was expected and what was found instead.
  void compare(std::string_view code, bool equal, const std::string& so,
               const std::string& expected, const std::string& found) {
    equal ? holds(code, so) : fails(code, "expected " + expected + ", found " + found);
  }

  [[nodiscard]] const std::vector<Check>& checks() const noexcept { return checks_; }
  [[nodiscard]] bool all_hold() const noexcept {
    return !checks_.empty() &&
           std::ranges::all_of(checks_, [](const Check& c) { return c.verdict == Verdict::holds; });
  }
  [[nodiscard]] bool none_fails() const noexcept {
    return std::ranges::none_of(checks_,
                                [](const Check& c) { return c.verdict == Verdict::fails; });
  }
  [[nodiscard]] std::vector<std::string_view> codes(Verdict verdict) const {
    std::vector<std::string_view> codes;
    for (const Check& check : checks_) {
      if (check.verdict == verdict) codes.push_back(check.code);
    }
    return codes;
  }

 private:
  std::vector<Check> checks_;
};

}  // namespace cs::tpm
