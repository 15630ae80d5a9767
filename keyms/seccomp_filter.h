// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace cs {

// What another system call than those allowed does.
enum class OtherCalls : std::uint8_t {
  kill,  // ends the process; where a sanitizer's runtime is in it, is only logged
  fail,  // returns EPERM: for tests
};

// For all threads, for good; needs no_new_privs. A name that this architecture does not have is
// passed over.
Result<void> allow_system_calls(std::span<const char* const> names,
                                OtherCalls others = OtherCalls::kill);

}  // namespace cs
