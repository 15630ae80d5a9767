// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/capture/input.h"

#include <algorithm>
#include <array>
#include <cerrno>

namespace cs::capture {

Error wrong_at(std::uint64_t offset, ErrorKind kind, std::string_view what) {
  return {kind, "at offset " + std::to_string(offset) + ": " + std::string(what)};
}

Result<std::size_t> Input::read(ByteSpan out) {
  errno = 0;
  const std::size_t had = std::fread(out.data(), 1, out.size(), file_.get());
  if (had < out.size() && std::ferror(file_.get()) != 0) {
    return from_errno(errno, "reading on at offset " + std::to_string(offset_ + had));
  }
  offset_ += had;
  return had;
}

Result<void> Input::read_all(ByteSpan out, std::string_view what) {
  const std::uint64_t start = offset_;
  CS_TRY(const std::size_t had, read(out));
  if (had == out.size()) return {};
  return wrong_at(start, ErrorKind::truncated,
                  "the file ends within " + std::string(what) + ": " + std::to_string(out.size()) +
                      " bytes are wanted, " + std::to_string(had) + " are there");
}

Result<void> Input::skip(std::uint64_t size, std::string_view what) {
  std::array<std::uint8_t, 4096> ignored{};
  while (size > 0) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(size, ignored.size()));
    CS_CHECK(read_all(ByteSpan(ignored).first(part), what));
    size -= part;
  }
  return {};
}

}  // namespace cs::capture
