// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cs::tpm {

// For reading. Refused: a path to anything but a regular file (a FIFO would let us wait for its
// writer).
[[nodiscard]] Result<UniqueFd> open_regular_file(const std::string& path);

// A whole regular file, or standard input for "-". Refused: more than `limit` bytes.
[[nodiscard]] Result<std::vector<std::uint8_t>> read_small_file(const std::string& path,
                                                                std::size_t limit);

// A regular file from an offset on, to its end: nothing, where that is before it.
[[nodiscard]] Result<std::vector<std::uint8_t>> read_file_from(const std::string& path,
                                                               std::uint64_t offset,
                                                               std::size_t limit);

}  // namespace cs::tpm
