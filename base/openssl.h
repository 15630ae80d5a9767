// SPDX-License-Identifier: GPL-3.0-or-later
// OpenSSL's objects as owners, and its errors as ours.
#pragma once

#include <openssl/err.h>

#include <memory>
#include <string>

#include "base/error.h"

namespace cs {

template <auto release>
struct OpensslRelease {
  template <class T>
  void operator()(T* object) const noexcept {
    release(object);
  }
};
template <class T, auto release>
using Openssl = std::unique_ptr<T, OpensslRelease<release>>;

// The newest reason in this thread's queue, which is empty afterwards.
[[nodiscard]] inline Error openssl_error(ErrorKind kind, const std::string& tried) {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return {kind, tried + ": OpenSSL says: " + (reason == nullptr ? "nothing" : reason)};
}

}  // namespace cs
