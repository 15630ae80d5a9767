// SPDX-License-Identifier: GPL-3.0-or-later
// All that needs the TPM, in the order in which it has to go.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "keyms/daemon/conductor.h"
#include "tpm/device/owner.h"

namespace cs::keyms {

struct Running {
  // Set by the owner's thread.
  std::shared_ptr<std::atomic<bool>> began_anew = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<Machine> machine;  // used on the owner's thread
  std::unique_ptr<tpm::Owner> owner;
  std::unique_ptr<TpmDesk> desk;
  std::unique_ptr<TpmRootSigner> root_signer;
  std::unique_ptr<SignerService> signer;
  std::unique_ptr<Conductor> conductor;  // none, until the store is open
};

}  // namespace cs::keyms
