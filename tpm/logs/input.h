// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes read once, forwards, however many: of a file, through memory of a fixed size, or of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs::tpm {

class Input {
 public:
  // The descriptor stays the caller's, and open meanwhile. `most` is the most that peek() is asked.
  Input(int fd, std::size_t most) noexcept : fd_(fd), most_(most) {}
  explicit Input(ByteView whole) noexcept : ahead_(whole) {}

  // What comes next: at least `wanted` bytes, fewer only at the end. Stays until the next peek().
  // Once the memory has grown to what was asked, it allocates nothing.
  [[nodiscard]] Result<ByteView> peek(std::size_t wanted);
  // Passes over the first n bytes that peek() has shown.
  void skip(std::size_t n) noexcept;
  // Of what peek() shows first, in the whole input.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

 private:
  Result<void> fill(std::size_t wanted);

  std::vector<std::uint8_t> memory_;
  ByteView ahead_;  // read, and not yet passed over
  std::uint64_t offset_ = 0;
  int fd_ = -1;  // none: ahead_ is all there is
  std::size_t most_ = 0;
};

}  // namespace cs::tpm
