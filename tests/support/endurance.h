// SPDX-License-Identifier: GPL-3.0-or-later
// For tests that do something very often and want memory to stay as it is.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

namespace cs::test {

// Sanitizers keep what is freed for a while.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr std::size_t growth_allowed = std::size_t{512} << 20U;
#else
inline constexpr std::size_t growth_allowed = std::size_t{256} << 10U;
#endif

inline std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

// As often as the environment variable says.
inline std::uint64_t repetitions(const char* variable, std::uint64_t otherwise) {
  const char* wanted = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): nobody sets any
  return wanted == nullptr ? otherwise : std::stoull(wanted);
}

}  // namespace cs::test
