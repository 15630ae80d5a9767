// SPDX-License-Identifier: GPL-3.0-or-later
// Notes in the store that are the machine's own.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "keyms/store/store.h"

namespace cs::keyms {

inline constexpr std::string_view ak_auth = "attestation-key-auth";
// The TPM's resetCount of the boot whose approvals hold.
inline constexpr std::string_view approvals_boot = "approvals-boot";
// The last request for a state that a plan leads to.
inline constexpr std::string_view asked_ahead = "approval-asked-ahead";
inline constexpr std::array own_notes{ak_auth, approvals_boot, asked_ahead};

// Nothing: there is none.
[[nodiscard]] inline Result<std::optional<tpm::Bytes>> read_note(const Unlocked& unlocked,
                                                                 std::string_view name) {
  auto found = unlocked.get({RowKind::note, name});
  if (found.ok()) return std::optional(tpm::Bytes(found->bytes().begin(), found->bytes().end()));
  if (found.error().kind() == ErrorKind::not_found) return std::optional<tpm::Bytes>();
  return std::move(found).error();
}

}  // namespace cs::keyms
