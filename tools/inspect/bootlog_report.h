// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string_view>
#include <vector>

#include "tpm/logs/boot_log.h"

namespace cs::inspect {

struct BootlogReport {
  std::vector<std::uint8_t> log;
  tpm::BootReplay replayed;
  std::vector<std::size_t> unbound;  // events whose data is not what their digest was made of
  bool compared = false;
  std::vector<tpm::RegisterVerdict> verdicts;

  [[nodiscard]] std::string_view verdict() const noexcept;  // good, unchecked, refused
};

// The events, the PCRs, what is odd, and the verdict last.
void write_text(const BootlogReport& report, std::ostream& out);
void write_json(const BootlogReport& report, std::ostream& out);

}  // namespace cs::inspect
