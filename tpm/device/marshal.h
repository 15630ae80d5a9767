// SPDX-License-Identifier: GPL-3.0-or-later
// For tpm/*.cpp only: structures of tpm2-tss to bytes and back.
#pragma once

#include <tss2/tss2_mu.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tpm/device/response.h"

namespace cs::tpm {

template <class T>
using Marshal = TSS2_RC (*)(const T*, std::uint8_t*, std::size_t, std::size_t*);
template <class T>
using Unmarshal = TSS2_RC (*)(const std::uint8_t*, std::size_t, std::size_t*, T*);

template <class T>
[[nodiscard]] Result<std::vector<std::uint8_t>> marshal(Marshal<T> function, const T& value,
                                                        std::string_view what) {
  std::vector<std::uint8_t> bytes(sizeof(T) + 64);
  std::size_t size = 0;
  const TSS2_RC rc = function(&value, bytes.data(), bytes.size(), &size);
  if (rc != TSS2_RC_SUCCESS) return response_error(rc, "writing " + std::string(what));
  bytes.resize(size);
  return bytes;
}

// Refused: what is malformed, and bytes that follow.
template <class T>
[[nodiscard]] Result<T> unmarshal(Unmarshal<T> function, ByteView bytes, std::string_view what) {
  T value{};
  std::size_t size = 0;
  const TSS2_RC rc = function(bytes.data(), bytes.size(), &size, &value);
  if (rc == TSS2_RC_SUCCESS && size == bytes.size()) return value;
  return Error(ErrorKind::invalid,
               std::string(what) + " is malformed: " + std::to_string(bytes.size()) +
                   " bytes, understood " + std::to_string(rc == TSS2_RC_SUCCESS ? size : 0));
}

}  // namespace cs::tpm
