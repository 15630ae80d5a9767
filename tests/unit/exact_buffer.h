// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"

namespace cs::test {

// A heap copy that ends exactly where its bytes end, so that AddressSanitizer sees a read or write
// one byte further; a vector's spare capacity or a span of a larger array would hide it.
class ExactBuffer {
 public:
  explicit ExactBuffer(std::size_t size) : memory_(new std::uint8_t[size]()), size_(size) {}
  explicit ExactBuffer(ByteView source) : ExactBuffer(source.size()) {
    std::copy(source.begin(), source.end(), memory_.get());
  }
  [[nodiscard]] ByteSpan bytes() { return {memory_.get(), size_}; }
  [[nodiscard]] ByteView view() const { return {memory_.get(), size_}; }

 private:
  std::unique_ptr<std::uint8_t[]> memory_;
  std::size_t size_;
};

}  // namespace cs::test
