// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tpm/logs/ima_log.h"

namespace cs::inspect {

struct ImaReport {
  bool is_text = false;
  tpm::HashAlgorithm listed{};
  std::uint64_t entries = 0;
  std::uint64_t violations = 0;
  std::map<std::string, std::uint64_t, std::less<>> templates;
  tpm::PcrValues recomputed;
  tpm::PcrValues padded;
  bool compared = false;
  std::vector<tpm::ImaVerdict> verdicts;

  void count_template(std::string_view name);
  [[nodiscard]] std::string_view verdict() const noexcept;  // good, unchecked, refused
};

// A few lines, and the verdict last.
void write_text(const ImaReport& report, std::ostream& out);
void write_json(const ImaReport& report, std::ostream& out);

}  // namespace cs::inspect
