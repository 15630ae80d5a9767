// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/volatile_object.h"

#include <utility>

#include "tpm/device/esys.h"

namespace cs::tpm {

VolatileObject::VolatileObject(std::string what, Load load, std::vector<std::uint8_t> name)
    : what_(std::move(what)), load_(std::move(load)), name_(std::move(name)) {}

Result<const Handle*> VolatileObject::handle(Device& device) {
  if (device.resolve(handle_).ok()) return &handle_;
  CS_TRY(Handle loaded, load_(device).context("loading " + what_));
  CS_TRY(const EsysHandle esys_handle, device.resolve(loaded));
  CS_TRY(const auto name, device.name_of("the Name of " + what_, esys_handle));
  if (name_.empty()) name_ = name;
  if (name != name_) {
    return Error(ErrorKind::unverified, what_ + " comes back from the TPM as another one")
        .with_hint("was the TPM cleared or replaced, or does something sit in between?");
  }
  handle_ = std::move(loaded);
  return &handle_;
}

Result<EsysHandle> VolatileObject::use(Device& device) {
  CS_TRY(const Handle* const loaded, handle(device));
  return device.resolve(*loaded);
}

}  // namespace cs::tpm
