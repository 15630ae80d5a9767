// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/count_allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::size_t> count{0};
}

namespace cs::test {
std::size_t allocations() noexcept {
  return count;
}
}  // namespace cs::test

// NOLINTBEGIN(cppcoreguidelines-no-malloc): these are what everybody else calls instead.
void* operator new(std::size_t size) {
  ++count;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
// NOLINTEND(cppcoreguidelines-no-malloc)
