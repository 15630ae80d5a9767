// SPDX-License-Identifier: GPL-3.0-or-later
// What every fuzz target includes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/panic.h"

// libFuzzer's entry point; replay.cpp's too.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace cs::fuzz {

// What must hold for every input. Ends the process, so that the input is kept.
inline void expect(bool holds, const char* what) {
  if (!holds) panic(what);
}

}  // namespace cs::fuzz
