// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tpm/device/device.h"

namespace cs::tpm {

// An object that a TPM forgets and that can be had again: from its blobs and its parent, or from a
// template. It is loaded when first used and again in every new generation. Its Name is pinned:
// what comes back as something else is refused (unverified), since then the TPM was cleared or
// exchanged, or something sits in between.
class VolatileObject {
 public:
  using Load = std::function<Result<Handle>(Device&)>;
  // `what` is for errors: "the attestation key". `name`: the Name it must have, if it is known.
  VolatileObject(std::string what, Load load, std::vector<std::uint8_t> name = {});

  [[nodiscard]] Result<EsysHandle> use(Device& device);
  [[nodiscard]] Result<const Handle*> handle(Device& device);
  // Frees its slot; the next use loads it again.
  void unload() noexcept { handle_ = {}; }
  // Empty before the first use, unless it was given.
  [[nodiscard]] const std::vector<std::uint8_t>& name() const noexcept { return name_; }

 private:
  std::string what_;
  Load load_;
  std::vector<std::uint8_t> name_;
  Handle handle_;
};

}  // namespace cs::tpm
