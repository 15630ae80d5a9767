// SPDX-License-Identifier: GPL-3.0-or-later
// What keymsd's network worker may do: next to nothing. Each step fails, in words, when it cannot
// be taken.
#pragma once

#include <span>
#include <string>

#include "base/result.h"

namespace cs::keyms::carrier {

// A user of its own without any capability, for good; no core dumps, nobody may trace it; it dies
// with whoever started it; few descriptors, bounded memory, no further process. Without `user` the
// process has to be another than root already.
Result<void> drop_privileges(const std::string& user);

// Everything of OpenSSL that reads files, draws entropy or is made at first use.
Result<void> prepare_openssl();

// From here on any other system call ends the process.
Result<void> filter_system_calls();
[[nodiscard]] std::span<const char* const> allowed_system_calls();

}  // namespace cs::keyms::carrier
