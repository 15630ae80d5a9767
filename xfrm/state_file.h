// SPDX-License-Identifier: GPL-3.0-or-later
// What a program must know again after it was killed: a small file that is whole whenever it ends.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cs {

// nullopt: there is none.
Result<std::optional<std::string>> read_state_file(const std::string& path, std::size_t max_size);

// Either the old file or the new one is there, and on disk, whenever the process ends. Empty: none.
// The directory must be there, and nobody else may write to it.
Result<void> write_state_file(const std::string& path, std::string_view text);

// Keeps the file for this process as long as the descriptor is open; `busy` if another one has it.
// `service` is whose file it is, for what an error says. (The directory is locked: the file itself
// is replaced with each change.)
Result<UniqueFd> hold_state_file(const std::string& path, const std::string& service);

}  // namespace cs
