// SPDX-License-Identifier: GPL-3.0-or-later
// What the verbs that replay a log have in common.
#pragma once

#include <iosfwd>
#include <string>

#include "base/result.h"
#include "tools/inspect/outcome.h"
#include "tpm/pcr.h"
#include "tpm/small_file.h"

namespace cs::inspect {

// Refused: no log, and standard input for both.
[[nodiscard]] Result<void> check_files(const std::string& log, const std::string& pcrs);
// Lines "sha256:0=hex". Refused: a file that states no register, which would match anything.
[[nodiscard]] Result<tpm::PcrValues> read_pcrs(const std::string& file);
// Tells the error, and ends as `outcome`.
Outcome fail(const Error& error, Outcome outcome, bool json, std::ostream& out, std::ostream& err);

}  // namespace cs::inspect
