// SPDX-License-Identifier: GPL-3.0-or-later
// What verbs read besides their evidence.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tpm/pcr.h"

namespace cs::inspect {

// Refused: no first file, and standard input for more than one. Empty: not given.
[[nodiscard]] Result<void> check_files(std::initializer_list<std::string_view> files);
// Lines "sha256:0=hex". Refused: a file that states no register, which would match anything.
[[nodiscard]] Result<tpm::PcrValues> read_pcrs(const std::string& file);

}  // namespace cs::inspect
