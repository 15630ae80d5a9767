// SPDX-License-Identifier: GPL-3.0-or-later
// Results for people, for programs, and as a picture.
#pragma once

#include <string>

#include "tools/bench/run.h"

namespace cs::bench {

[[nodiscard]] std::string table_of(const Options& options, const Results& results);
// Described in nfq-bench(8).
[[nodiscard]] std::string json_of(const Options& options, const Results& results);
// An SVG: bars of the ratios, and lines of the sweep if there was one.
[[nodiscard]] std::string picture_of(const Results& results);

}  // namespace cs::bench
