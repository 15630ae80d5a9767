// SPDX-License-Identifier: GPL-3.0-or-later
// Auth values: shown to the TPM only while they are needed, and never a wrong one over and over.
#pragma once

#include <array>
#include <cstdint>
#include <string>
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
// A file, if there is one, notes when the TPM has last counted one, for the process that comes
// after this: what starts again and again would lock the TPM too. That one knows of no value that
// it is right, so it waits with all; who knows better removes the file.
class FailedAuthorizations {
 public:
  static constexpr std::chrono::hours wait{1};
  static constexpr std::size_t most = 64;  // remembered at a time; the oldest goes

  // What the note says that is there. One that nobody can read says: just now.
  FailedAuthorizations(std::string note, const Clock& clock);
  // Refused (denied, after_delay): this value failed for this entity less than an hour ago, or
  // another one did and nobody knows whether this one is right.
  [[nodiscard]] Result<void> check(ByteView entity, ByteView auth, BootTime now) const;
  // `counted`: by the TPM, towards its lockout. Fails where that cannot be noted.
  [[nodiscard]] Result<void> failed(ByteView entity, ByteView auth, const Clock& clock,
                                    bool counted);
  void held(ByteView entity, ByteView auth);
  [[nodiscard]] std::size_t count() const noexcept { return failures_.size(); }

 private:
  struct Failure {
    Digest what;
    BootTime when;
    bool counted = false;
  };
  [[nodiscard]] Digest digest(ByteView entity, ByteView auth) const;
  [[nodiscard]] Result<void> write_note(WallTime when) const;

  std::array<std::uint8_t, 32> salt_;  // so that what is remembered tells nothing about the values
  std::vector<Failure> failures_;
  std::vector<Digest> right_;  // the last `most` that held
  std::string note_;           // a path; empty: none is kept
  BootTime noted_until_ = BootTime::min();
};

// Runs a command that shows `auth` for `entity` (an object, index or hierarchy; the session is the
// command's own business). The value is with ESYS only meanwhile. Refused as check() says.
[[nodiscard]] Result<void> call_authorized(Device& device, std::string_view asked,
                                           EsysHandle entity, ByteView auth,
                                           const Device::Command& command);

}  // namespace cs::tpm
