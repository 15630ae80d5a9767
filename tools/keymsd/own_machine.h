// SPDX-License-Identifier: GPL-3.0-or-later
// This gateway's TPM and state, for what is done without keymsd.
#pragma once

#include <optional>
#include <string>
#include <type_traits>

#include "keyms/daemon/machine.h"
#include "tools/keymsd/daemon.h"

namespace cs::keymsd {

// Refused (busy): keymsd runs, and TPM and store are its own; and where nobody can tell.
[[nodiscard]] Result<void> check_stopped(const keyms::DaemonConfig& config);

struct OwnMachine {
  keyms::Machine::Options options;
  tpm::Device device;

  // Refused as check_stopped(), and where the TPM does not answer.
  [[nodiscard]] static Result<OwnMachine> open(const keyms::DaemonConfig& config,
                                               const Clock& clock);
};

// keymsd's user, to whom the state directory belongs. A store opens only for who owns it, and what
// is in the directory is not for root to follow.
struct StateOwner {
  unsigned user = 0;
  unsigned group = 0;

  // None: nobody else, because of an empty name or as this is not root. Refused (not_found): there
  // is no such user.
  [[nodiscard]] static Result<std::optional<StateOwner>> find(const std::string& name);
  // Whoever has the directory, if it is there and this is root.
  [[nodiscard]] static std::optional<StateOwner> of(const std::string& directory);
  // The directory and all that is in it. Refused: what may be a file of somebody else's.
  [[nodiscard]] Result<void> take(const std::string& directory) const;
  // From then on files are opened and made as that user.
  [[nodiscard]] Result<void> begin_acting() const;
  static void end_acting();
};

// What `work` returns, done as that user, if there is one.
template <class Work>
std::invoke_result_t<Work&> act_as(const std::optional<StateOwner>& owner, Work work) {
  if (owner) CS_CHECK(owner->begin_acting());
  auto done = work();
  if (owner) StateOwner::end_acting();
  return done;
}

// How a command without keymsd ends after this.
[[nodiscard]] Outcome outcome_of(const Error& error) noexcept;

}  // namespace cs::keymsd
