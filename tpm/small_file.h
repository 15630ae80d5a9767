// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace cs::tpm {

// A whole file, or standard input for "-". Refused: more than `limit` bytes, and a path to anything
// but a regular file (a FIFO would let us wait for its writer).
[[nodiscard]] Result<std::vector<std::uint8_t>> read_small_file(const std::string& path,
                                                                std::size_t limit);

}  // namespace cs::tpm
