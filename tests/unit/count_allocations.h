// SPDX-License-Identifier: GPL-3.0-or-later
// Counts what `new` is asked for. Include in one file of a test program: it replaces the global
// operators, malloc stays (so sanitizers still see every block).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace cs::test {
inline std::atomic<std::size_t> allocations{0};
}

[[gnu::noinline]] void* operator new(std::size_t size) {
  ++cs::test::allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
