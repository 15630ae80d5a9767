// SPDX-License-Identifier: GPL-3.0-or-later
// What tpm-bench measures: each a function, listed by name in tpm_main.cpp.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace cs::bench {

struct Figure {
  std::string name;
  double value = 0;
  std::string unit;
  double limit = 0;  // a ratio above it is a failure; 0: there is none
};
using Figures = std::vector<Figure>;

// Replaying against hashing alone: as many bytes, in as many calls, by the same algorithms.
[[nodiscard]] Result<Figures> measure_boot_log();
[[nodiscard]] Result<Figures> measure_ima_list();
// A list of 10^6 entries, from a file: its time, and the most memory the process had.
[[nodiscard]] Result<Figures> measure_long_ima_list();
// On a swtpm of its own; no figures where there is no program swtpm. Signatures under a PCR policy
// against those that an empty password authorises.
[[nodiscard]] Result<Figures> measure_signing();

}  // namespace cs::bench
