// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace cs {

// Ends the process because the program itself is wrong: a broken contract, never a bad input or a
// failing system call. A gateway that stops lets no packet through; one that goes on might.
[[noreturn]] inline void panic(std::string_view what) noexcept {
  static_cast<void>(std::fputs("countersign: broken contract: ", stderr));
  static_cast<void>(std::fwrite(what.data(), 1, what.size(), stderr));
  static_cast<void>(std::fputc('\n', stderr));
  std::abort();
}

}  // namespace cs
