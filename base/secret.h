// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

namespace cs {

// A key or other secret of a fixed size, in pages of its own: locked (never swapped), left out of
// core dumps, all zero in a forked child, between two inaccessible pages, and wiped before they go
// back to the kernel. What it cannot keep: copies the caller makes, registers, hibernation images.
//
// Move-only; what was moved from is empty. Takes at least one page of RLIMIT_MEMLOCK. A view from
// bytes() lives as long as the object that owns the memory, through moves of it. Not synchronised
// between threads. It has no begin(), no string, no << and no ==, so that neither a log line nor a
// range formatter prints it and nobody compares it byte by byte: see constant_time.h.
class SecretBytes {
 public:
  static constexpr std::size_t max_size = 65536;  // a key, not a file

  // `size` zeros to be filled. Fails with `invalid` for size 0, `limit` above max_size or when
  // RLIMIT_MEMLOCK is used up, and with the kernel's reason otherwise. Nothing secret is in it yet
  // when it fails.
  [[nodiscard]] static Result<SecretBytes> create(std::size_t size);
  // A copy of `source`, whose own memory stays the caller's to wipe.
  [[nodiscard]] static Result<SecretBytes> copy_of(ByteView source);

  SecretBytes(SecretBytes&& other) noexcept
      : pages_(std::exchange(other.pages_, {})), data_(std::exchange(other.data_, {})) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(data_, other.data_);
    if (this != &other) other.release();
    return *this;
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { release(); }

  [[nodiscard]] ByteSpan bytes() noexcept { return data_; }
  [[nodiscard]] ByteView bytes() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return data_.size(); }

  // Zeros from here on; the memory stays.
  void wipe() noexcept {
    if (!data_.empty()) explicit_bzero(data_.data(), data_.size());
  }

  template <class Stream>
  friend Stream& operator<<(Stream&, const SecretBytes&) = delete;
  friend bool operator==(const SecretBytes&, const SecretBytes&) = delete;

 private:
  SecretBytes(ByteSpan pages, ByteSpan data) noexcept : pages_(pages), data_(data) {}

  void release() noexcept {
    wipe();
    if (!pages_.empty()) ::munmap(pages_.data(), pages_.size());
    pages_ = data_ = {};
  }

  ByteSpan pages_;  // the mapping, guard pages included
  ByteSpan data_;   // within it, and readable as long as it exists
};

namespace detail {

constexpr std::size_t round_up(std::size_t n, std::size_t step) noexcept {
  return (n + step - 1) / step * step;
}

inline Error memlock_error(int number, std::size_t size) {
  rlimit allowed{};
  getrlimit(RLIMIT_MEMLOCK, &allowed);
  return Error(ErrorKind::limit, "locking " + std::to_string(size) +
                                     " bytes for a secret (RLIMIT_MEMLOCK is " +
                                     std::to_string(allowed.rlim_cur) + " bytes)")
      .with_os_error(number)
      .with_hint("raise it: LimitMEMLOCK= in the systemd unit, ulimit -l in a shell");
}

// Everything that keeps the pages between the guards to ourselves; before a secret is in them.
inline Result<void> guard_and_lock(ByteSpan pages, ByteSpan inner, std::size_t page) {
  if (::mprotect(pages.data(), page, PROT_NONE) != 0 ||
      ::mprotect(inner.data() + inner.size(), page, PROT_NONE) != 0) {
    return from_errno(errno, "guarding the memory of a secret (mprotect)");
  }
  if (::madvise(inner.data(), inner.size(), MADV_DONTDUMP) != 0 ||
      ::madvise(inner.data(), inner.size(), MADV_WIPEONFORK) != 0) {
    return from_errno(errno, "keeping a secret out of core dumps and forked children (madvise)");
  }
  // mlock2 without flags is mlock, which the sanitizers replace by nothing: so the tests see it.
  if (::mlock2(inner.data(), inner.size(), 0) != 0) return memlock_error(errno, inner.size());
  return {};
}

}  // namespace detail

inline Result<SecretBytes> SecretBytes::create(std::size_t size) {
  if (size == 0) return Error(ErrorKind::invalid, "making a secret of 0 bytes");
  if (size > max_size) {
    return Error(ErrorKind::limit, "making a secret of " + std::to_string(size) +
                                       " bytes: at most " + std::to_string(max_size));
  }
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t length = detail::round_up(size, page) + 2 * page;
  void* mapped =
      ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return from_errno(errno, "mapping memory for a secret");

  const ByteSpan pages(static_cast<std::uint8_t*>(mapped), length);
  const ByteSpan inner = pages.subspan(page, length - 2 * page);
  // At the end of the pages, where running over it meets the guard; 16 keeps every type aligned.
  const std::size_t start = inner.size() - detail::round_up(size, 16);
  SecretBytes secret(pages, inner.subspan(start, size));
  CS_CHECK(detail::guard_and_lock(pages, inner, page));
  return secret;
}

inline Result<SecretBytes> SecretBytes::copy_of(ByteView source) {
  CS_TRY(SecretBytes secret, create(source.size()));
  std::copy(source.begin(), source.end(), secret.bytes().begin());
  return secret;
}

}  // namespace cs
