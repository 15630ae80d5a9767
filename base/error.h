// SPDX-License-Identifier: GPL-3.0-or-later
// What went wrong, for a program that decides by it and for a person who must mend it.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace cs {

// Few, so that a caller can switch over all of them. Names are stable: logs and metrics carry them.
enum class ErrorKind : std::uint8_t {
  invalid,      // says something it may not say
  truncated,    // ends before it is complete
  limit,        // above a bound, or a resource is used up
  not_found,    // what was asked for is not there
  exists,       // what was to be made is there already
  denied,       // not permitted to this process or this peer
  unverified,   // a signature, tag, certificate or quote does not hold
  busy,         // would succeed if less were going on
  timed_out,    // no answer in time
  closed,       // the other side has gone
  io,           // the kernel or a device failed
  unsupported,  // this machine, kernel or peer cannot do it
  internal,     // our own mistake
};

// Whether doing the same again can help.
enum class Retry : std::uint8_t {
  no,           // not before somebody changes something
  at_once,      // yes, immediately: it was interrupted
  after_delay,  // yes, but wait first: it is busy
  anew,         // yes, with a new connection, session or handle
};

[[nodiscard]] constexpr std::string_view to_string(ErrorKind kind) noexcept {
  constexpr std::array<std::string_view, 13> names{
      "invalid", "truncated", "limit",  "not_found", "exists",      "denied",  "unverified",
      "busy",    "timed_out", "closed", "io",        "unsupported", "internal"};
  const auto index = static_cast<std::size_t>(kind);
  return index < names.size() ? names.at(index) : "unknown";
}

// A value: copy it, move it, keep it; it refers to nothing. Making one allocates, so a path that
// must not allocate counts a reason instead (see bytes.h for how a reader serves both).
class [[nodiscard]] Error {
 public:
  // `sentence` says what was tried, on what, and why it failed unless an errno does:
  // "opening /etc/countersign/policy.toml". No full stop, no newline.
  Error(ErrorKind kind, std::string sentence) : sentence_(std::move(sentence)), kind_(kind) {}

  [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }
  [[nodiscard]] Retry retry() const noexcept { return retry_; }
  [[nodiscard]] int os_error() const noexcept { return os_error_; }  // an errno, or 0 for none

  // Each layer may add what it was doing, as in "reading the policy".
  Error context(std::string_view layer) && {
    layers_.insert(0, std::string(layer) + ": ");
    return std::move(*this);
  }
  // What the reader of the message can do about it: "load it with: modprobe esp4".
  Error with_hint(std::string hint) && {
    hint_ = std::move(hint);
    return std::move(*this);
  }
  Error with_retry(Retry retry) && {
    retry_ = retry;
    return std::move(*this);
  }
  Error with_os_error(int number) && {
    os_error_ = number;
    return std::move(*this);
  }

  // One line for a person, outermost layer first:
  //   starting keymsd: reading the policy: opening /etc/x: Permission denied (EACCES); run as root
  // Control characters appear as \xNN, because parts of it may come from a peer.
  [[nodiscard]] std::string message() const;

 private:
  std::string layers_;
  std::string sentence_;
  std::string hint_;
  int os_error_ = 0;
  ErrorKind kind_;
  Retry retry_ = Retry::no;
};

namespace detail {

struct ErrnoMeaning {
  int number;
  ErrorKind kind;
  Retry retry;
};

// What is not here is `io` and not worth a retry. ENOMEM from the kernel passes; EMFILE does not.
inline constexpr std::array errno_meanings{
    ErrnoMeaning{EINTR, ErrorKind::busy, Retry::at_once},
    ErrnoMeaning{EAGAIN, ErrorKind::busy, Retry::after_delay},
    ErrnoMeaning{EBUSY, ErrorKind::busy, Retry::after_delay},
    ErrnoMeaning{ENOBUFS, ErrorKind::busy, Retry::after_delay},
    ErrnoMeaning{ENOMEM, ErrorKind::limit, Retry::after_delay},
    ErrnoMeaning{ENFILE, ErrorKind::limit, Retry::after_delay},
    ErrnoMeaning{EMFILE, ErrorKind::limit, Retry::no},
    ErrnoMeaning{ENOSPC, ErrorKind::limit, Retry::no},
    ErrnoMeaning{EDQUOT, ErrorKind::limit, Retry::no},
    ErrnoMeaning{EFBIG, ErrorKind::limit, Retry::no},
    ErrnoMeaning{E2BIG, ErrorKind::limit, Retry::no},
    ErrnoMeaning{EMSGSIZE, ErrorKind::limit, Retry::no},
    ErrnoMeaning{ENAMETOOLONG, ErrorKind::limit, Retry::no},
    ErrnoMeaning{EPERM, ErrorKind::denied, Retry::no},
    ErrnoMeaning{EACCES, ErrorKind::denied, Retry::no},
    ErrnoMeaning{EROFS, ErrorKind::denied, Retry::no},
    ErrnoMeaning{ENOENT, ErrorKind::not_found, Retry::no},
    ErrnoMeaning{ESRCH, ErrorKind::not_found, Retry::no},
    ErrnoMeaning{ENODEV, ErrorKind::not_found, Retry::no},
    ErrnoMeaning{ENXIO, ErrorKind::not_found, Retry::no},
    ErrnoMeaning{EEXIST, ErrorKind::exists, Retry::no},
    ErrnoMeaning{EADDRINUSE, ErrorKind::exists, Retry::after_delay},
    ErrnoMeaning{EINVAL, ErrorKind::invalid, Retry::no},
    ErrnoMeaning{EDOM, ErrorKind::invalid, Retry::no},
    ErrnoMeaning{ERANGE, ErrorKind::invalid, Retry::no},
    ErrnoMeaning{EBADF, ErrorKind::internal, Retry::no},
    ErrnoMeaning{EFAULT, ErrorKind::internal, Retry::no},
    ErrnoMeaning{ENOTSOCK, ErrorKind::internal, Retry::no},
    ErrnoMeaning{ETIMEDOUT, ErrorKind::timed_out, Retry::after_delay},
    ErrnoMeaning{ECONNREFUSED, ErrorKind::closed, Retry::after_delay},
    ErrnoMeaning{ECONNRESET, ErrorKind::closed, Retry::anew},
    ErrnoMeaning{ECONNABORTED, ErrorKind::closed, Retry::anew},
    ErrnoMeaning{ENOTCONN, ErrorKind::closed, Retry::anew},
    ErrnoMeaning{EPIPE, ErrorKind::closed, Retry::anew},
    ErrnoMeaning{ENETDOWN, ErrorKind::io, Retry::after_delay},
    ErrnoMeaning{ENETUNREACH, ErrorKind::io, Retry::after_delay},
    ErrnoMeaning{EHOSTUNREACH, ErrorKind::io, Retry::after_delay},
    ErrnoMeaning{ENOSYS, ErrorKind::unsupported, Retry::no},
    ErrnoMeaning{EOPNOTSUPP, ErrorKind::unsupported, Retry::no},
    ErrnoMeaning{EPROTONOSUPPORT, ErrorKind::unsupported, Retry::no},
    ErrnoMeaning{EAFNOSUPPORT, ErrorKind::unsupported, Retry::no},
};

// glibc's *_np forms are thread-safe and do not follow the locale; the name is what people search.
inline std::string errno_text(int number) {
  const char* name = strerrorname_np(number);
  const char* text = strerrordesc_np(number);
  if (name == nullptr || text == nullptr) return "errno " + std::to_string(number);
  return std::string(text) + " (" + name + ")";
}

inline std::string one_line(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string line;
  line.reserve(text.size());
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (code >= 0x20 && code != 0x7f) {
      line += c;
    } else {
      line.append("\\x").append(1, digits[code >> 4U]).append(1, digits[code & 0xfU]);
    }
  }
  return line;
}

}  // namespace detail

inline std::string Error::message() const {
  std::string text = layers_ + sentence_;
  if (os_error_ != 0) text += ": " + detail::errno_text(os_error_);
  if (!hint_.empty()) text += "; " + hint_;
  return detail::one_line(text);
}

// The error of a system call, read at once after it: from_errno(errno, "opening " + path).
inline Error from_errno(int number, std::string tried) {
  for (const auto& meaning : detail::errno_meanings) {
    if (meaning.number == number) {
      return Error(meaning.kind, std::move(tried)).with_retry(meaning.retry).with_os_error(number);
    }
  }
  return Error(ErrorKind::io, std::move(tried)).with_os_error(number);
}

}  // namespace cs
