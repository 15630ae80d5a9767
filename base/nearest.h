// SPDX-License-Identifier: GPL-3.0-or-later
// What somebody who misspelt a word may have meant.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cs {

struct Candidate {
  std::string word;   // compared
  std::string shown;  // given back
};

namespace detail {

inline constexpr std::size_t longest_word = 40;  // none of ours is longer

// Letters to insert, to leave out, to change, or neighbours to swap. Row by row of the usual
// table: [0] is the row in work, [1] and [2] the ones before.
inline std::size_t distance(const std::string& a, const std::string& b) {
  std::array<std::array<std::size_t, longest_word + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0].at(j) = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::rotate(rows.begin(), rows.begin() + 2, rows.end());
    rows[0].at(0) = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      rows[0].at(j) =
          std::min({rows[1].at(j) + 1, rows[0].at(j - 1) + 1, rows[1].at(j - 1) + change});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) rows[0].at(j) = std::min(rows[0].at(j), rows[2].at(j - 2) + 1);
    }
  }
  return rows[0].at(b.size());
}

inline std::string bare(const std::string& word) {
  return word.substr(std::min(word.find_first_not_of('-'), word.size()));
}

}  // namespace detail

// The first of the candidates most like `word`, if one is: it may be spelt wrong in one letter of
// three (too many, too few, another, two swapped), or end early. Dashes in front count for nothing.
[[nodiscard]] inline std::optional<std::string> nearest(const std::string& word,
                                                        const std::vector<Candidate>& candidates) {
  const std::string meant = detail::bare(word);
  if (meant.size() < 2 || meant.size() > detail::longest_word) return std::nullopt;
  std::size_t best = std::max<std::size_t>(1, meant.size() / 3) + 1;
  std::optional<std::string> found;
  for (const Candidate& candidate : candidates) {
    const std::string name = detail::bare(candidate.word);
    if (name.size() > detail::longest_word) continue;
    const std::size_t away = name.starts_with(meant) ? 0 : detail::distance(meant, name);
    if (away < best) {
      best = away;
      found = candidate.shown;
    }
  }
  return found;
}

}  // namespace cs
