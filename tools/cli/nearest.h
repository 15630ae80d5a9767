// SPDX-License-Identifier: GPL-3.0-or-later
// What somebody who misspelt a word may have meant.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace cs::cli {

struct Candidate {
  std::string word;   // compared
  std::string shown;  // given back
};

// The first of the candidates most like `word`, if one is: it may be spelt wrong in one letter of
// three (too many, too few, another, two swapped), or end early.
[[nodiscard]] std::optional<std::string> nearest(const std::string& word,
                                                 const std::vector<Candidate>& candidates);

}  // namespace cs::cli
