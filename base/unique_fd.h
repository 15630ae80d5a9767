// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace cs {

// Owns one file descriptor, or none (-1). Move-only; closes what it owns, and leaves errno alone in
// doing so, so that an error path can still report its own. Close reports nothing: who must know
// that data arrived calls fsync first. Not synchronised between threads. Open with O_CLOEXEC (or
// SOCK_CLOEXEC …): setting the flag later races with a fork in another thread.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd < 0 ? -1 : fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }  // still owned here; -1 for none
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

  // Hands the descriptor over to the caller, who closes it.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  // Closes what is owned and owns `fd` instead.
  void reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd < 0 ? -1 : fd);
    if (old < 0 || old == fd_) return;
    // Linux has released the descriptor even when close says EINTR: closing again would close
    // whatever another thread has just opened under that number.
    const int saved = errno;
    ::close(old);
    errno = saved;
  }

 private:
  int fd_ = -1;
};

}  // namespace cs
