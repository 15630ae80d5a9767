// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/logs/input.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "base/panic.h"

namespace cs::tpm {

namespace {

constexpr std::size_t chunk = std::size_t{64} * 1024;

}  // namespace

Result<ByteView> Input::peek(std::size_t wanted) {
  if (wanted > ahead_.size() && fd_ >= 0) {
    if (wanted > most_) panic("more of an input is asked at once than was said");
    CS_CHECK(fill(wanted));
  }
  return ahead_;
}

void Input::skip(std::size_t n) noexcept {
  ahead_ = ahead_.subspan(n);
  offset_ += n;
}

// What is ahead moves to the front, and the file is read behind it.
Result<void> Input::fill(std::size_t wanted) {
  std::copy(ahead_.begin(), ahead_.end(), memory_.begin());
  std::size_t had = ahead_.size();
  if (memory_.size() < wanted) memory_.resize(wanted + chunk);
  ahead_ = std::span(memory_).first(had);
  while (had < wanted) {
    const ssize_t more = ::read(fd_, memory_.data() + had, memory_.size() - had);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) {
      return from_errno(errno, "reading on at offset " + std::to_string(offset_ + had));
    }
    if (more == 0) break;
    had += static_cast<std::size_t>(more);
    ahead_ = std::span(memory_).first(had);
  }
  return {};
}

}  // namespace cs::tpm
