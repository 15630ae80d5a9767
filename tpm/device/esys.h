// SPDX-License-Identifier: GPL-3.0-or-later
// For tpm/*.cpp only: the headers of tpm2-tss, and what makes its C interface safe to use.
#pragma once

#include <tss2/tss2_esys.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"
#include "tpm/device/device.h"
#include "tpm/hash.h"
#include "tpm/pcr.h"

namespace cs::tpm {

// A structure ESYS allocates. A command that is repeated fills it again: the former one is freed.
template <class T>
class Out {
 public:
  Out() = default;
  Out(const Out&) = delete;
  Out& operator=(const Out&) = delete;
  Out(Out&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
  Out& operator=(Out&&) = delete;
  ~Out() { Esys_Free(value_); }

  [[nodiscard]] T** out() {
    Esys_Free(std::exchange(value_, nullptr));
    return &value_;
  }
  // To be wiped.
  [[nodiscard]] T* kept() { return value_; }
  [[nodiscard]] const T* operator->() const { return value_; }
  [[nodiscard]] const T& operator*() const { return *value_; }

 private:
  T* value_ = nullptr;
};

// What a TPM2B holds, never more than it has room for.
template <class Sized>
[[nodiscard]] ByteView view(const Sized& sized) {
  return {&sized.buffer[0], std::min<std::size_t>(sized.size, sizeof(sized.buffer))};
}
[[nodiscard]] inline ByteView view(const TPM2B_NAME& name) {
  return {&name.name[0], std::min<std::size_t>(name.size, sizeof(name.name))};
}

// The other way. Refused: more bytes than the structure holds.
template <class Sized>
[[nodiscard]] Result<Sized> sized(ByteView bytes, std::string_view what) {
  Sized to{};
  if (bytes.size() > sizeof(to.buffer)) {
    return Error(ErrorKind::limit, std::string(what) + " has " + std::to_string(bytes.size()) +
                                       " bytes, a TPM takes " + std::to_string(sizeof(to.buffer)));
  }
  to.size = static_cast<UINT16>(bytes.size());
  std::ranges::copy(bytes, &to.buffer[0]);
  return to;
}

// TPM2_ReadPublic; `what` is for the error.
[[nodiscard]] Result<TPM2B_PUBLIC> read_public(Device& device, EsysHandle key,
                                               std::string_view what);

[[nodiscard]] Result<TPML_PCR_SELECTION> to_tpm(const PcrSelection& selection);
// Banks we have no name for are left out.
[[nodiscard]] PcrSelection from_tpm(const TPML_PCR_SELECTION& selection);

}  // namespace cs::tpm
