// SPDX-License-Identifier: GPL-3.0-or-later
// A file that is read once, forwards, and knows how far it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace cs::capture {

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { static_cast<void>(std::fclose(file)); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

class Input {
 public:
  explicit Input(File file) noexcept : file_(std::move(file)) {}

  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

  // As many bytes as there are; fewer than wanted only at the end.
  [[nodiscard]] Result<std::size_t> read(ByteSpan out);
  // All of them, or `truncated` with the offset; `what` names them.
  [[nodiscard]] Result<void> read_all(ByteSpan out, std::string_view what);
  [[nodiscard]] Result<void> skip(std::uint64_t size, std::string_view what);

 private:
  File file_;
  std::uint64_t offset_ = 0;
};

// "at offset 24: what"
[[nodiscard]] Error wrong_at(std::uint64_t offset, ErrorKind kind, std::string_view what);

}  // namespace cs::capture
