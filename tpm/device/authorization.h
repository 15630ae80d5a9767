// SPDX-License-Identifier: GPL-3.0-or-later
// Auth values: shown to the TPM only while they are needed, and never a wrong one over and over.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "tpm/device/device.h"
#include "tpm/hash.h"

namespace cs::tpm {

// A TPM counts wrong auth values and locks everybody out after a few. So after one has failed,
// nothing is shown for an hour but what has been right before, and empty values: those are no
// guesses. The one that failed is not shown again either, not even for an object that counts none.
class FailedAuthorizations {
 public:
  static constexpr std::chrono::hours wait{1};
  static constexpr std::size_t most = 64;  // remembered at a time; the oldest goes

  FailedAuthorizations();
  // Refused (denied, after_delay): this value failed for this entity less than an hour ago, or
  // another one did and nobody knows whether this one is right.
  [[nodiscard]] Result<void> check(ByteView entity, ByteView auth, BootTime now) const;
  // `counted`: by the TPM, towards its lockout.
  void failed(ByteView entity, ByteView auth, BootTime now, bool counted);
  void held(ByteView entity, ByteView auth);
  [[nodiscard]] std::size_t count() const noexcept { return failures_.size(); }

 private:
  struct Failure {
    Digest what;
    BootTime when;
    bool counted = false;
  };
  [[nodiscard]] Digest digest(ByteView entity, ByteView auth) const;

  std::array<std::uint8_t, 32> salt_;  // so that what is remembered tells nothing about the values
  std::vector<Failure> failures_;
  std::vector<Digest> right_;  // the last `most` that held
};

// Runs a command that shows `auth` for `entity` (an object, index or hierarchy; the session is the
// command's own business). The value is with ESYS only meanwhile. Refused as check() says.
[[nodiscard]] Result<void> call_authorized(Device& device, std::string_view asked,
                                           EsysHandle entity, ByteView auth,
                                           const Device::Command& command);

}  // namespace cs::tpm
