// SPDX-License-Identifier: GPL-3.0-or-later
// For tests: the value of a Result, or an exception that tells its error, which GoogleTest reports
// as the test's failure. What a test expects to fail it asks with ok() instead.
#pragma once

#include <stdexcept>
#include <utility>

#include "base/result.h"

namespace cs::test {

template <class T>
T get(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
  return std::move(result).value();
}

inline void get(const Result<void>& result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
}

}  // namespace cs::test
