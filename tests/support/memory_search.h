// SPDX-License-Identifier: GPL-3.0-or-later
// A key that is looked for in all memory of the process: what is done with it must leave no copy.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace cs::test {

// Computed each time it is looked at, so that comparing makes no copy.
inline std::uint8_t byte_of_key(std::size_t index) {
  return static_cast<std::uint8_t>(0x9d ^ (index * 37));
}
inline void write_key(ByteSpan to) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = byte_of_key(i);
}

// Counts a key of this size, or the beginning of a longer one, in the memory of this process. Its
// own window is left out.
class MemorySearch {
 public:
  explicit MemorySearch(std::size_t size)
      : size_(size),
        window_(static_cast<std::uint8_t*>(::mmap(nullptr, window_size, PROT_READ | PROT_WRITE,
                                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
        memory_(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC)) {}
  ~MemorySearch() { ::munmap(window_, window_size); }
  MemorySearch(const MemorySearch&) = delete;
  MemorySearch& operator=(const MemorySearch&) = delete;

  int count() {
    int found = 0;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      std::istringstream words(line);
      std::uintptr_t begin = 0;
      std::uintptr_t end = 0;
      char dash = 0;
      std::string permissions;
      words >> std::hex >> begin >> dash >> end >> permissions;
      // What is larger is a sanitizer's shadow.
      if (permissions.starts_with("rw") && end - begin <= largest) found += count_in(begin, end);
    }
    return found;
  }

 private:
  static constexpr std::size_t window_size = 1U << 20U;
  static constexpr std::size_t largest = 1U << 28U;

  // NOLINTNEXTLINE(misc-no-recursion): once, around its own memory
  int count_in(std::uintptr_t begin, std::uintptr_t end) {
    const auto own = reinterpret_cast<std::uintptr_t>(window_);
    int found = 0;
    for (std::uintptr_t at = begin; at + size_ <= end; at += window_size - size_ + 1) {
      const std::size_t wanted = std::min<std::size_t>(window_size, end - at);
      if (at < own + window_size && own < at + wanted) {  // a mapping may have grown around it
        if (at < own) found += count_in(at, own);
        if (own + window_size < end) found += count_in(own + window_size, end);
        return found;
      }
      const auto got = ::pread(memory_.get(), window_, wanted, static_cast<off_t>(at));
      for (std::size_t i = 0; got > 0 && i + size_ <= static_cast<std::size_t>(got); ++i)
        found += is_key(window_ + i) ? 1 : 0;
    }
    explicit_bzero(window_, window_size);
    return found;
  }

  [[nodiscard]] bool is_key(const std::uint8_t* at) const {
    for (std::size_t i = 0; i < size_; ++i)
      if (at[i] != byte_of_key(i)) return false;
    return true;
  }

  std::size_t size_;
  std::uint8_t* window_;
  UniqueFd memory_;
};

}  // namespace cs::test
