// SPDX-License-Identifier: GPL-3.0-or-later
// A register that only we extend, whatever kind it is of.
#pragma once

#include <utility>
#include <vector>

#include "tpm/device/device.h"
#include "tpm/device/nv.h"
#include "tpm/logs/cel.h"

namespace cs::tpm {

class OwnRegister {
 public:
  OwnRegister() = default;
  OwnRegister(const OwnRegister&) = delete;
  OwnRegister& operator=(const OwnRegister&) = delete;
  OwnRegister(OwnRegister&&) = delete;
  OwnRegister& operator=(OwnRegister&&) = delete;
  virtual ~OwnRegister() = default;

  [[nodiscard]] virtual CelRegister of() const = 0;
  // In ascending order.
  [[nodiscard]] virtual const std::vector<HashAlgorithm>& banks() const = 0;
  // One per bank, in that order; all zeros after a reset.
  [[nodiscard]] virtual Result<std::vector<Digest>> read(Device& device) = 0;
  [[nodiscard]] virtual Result<void> extend(Device& device, const std::vector<Digest>& digests) = 0;
};

class OwnPcr final : public OwnRegister {
 public:
  // Banks that are not extended would show a value that says nothing: take all the TPM has.
  OwnPcr(std::uint32_t index, std::vector<HashAlgorithm> banks);
  [[nodiscard]] CelRegister of() const override { return {CelRegister::Kind::pcr, index_}; }
  [[nodiscard]] const std::vector<HashAlgorithm>& banks() const override { return banks_; }
  [[nodiscard]] Result<std::vector<Digest>> read(Device& device) override;
  [[nodiscard]] Result<void> extend(Device& device, const std::vector<Digest>& digests) override;

 private:
  std::uint32_t index_;
  std::vector<HashAlgorithm> banks_;
};

// Where no PCR is free. It is SHA-256 alone, and has to be defined.
class OwnIndex final : public OwnRegister {
 public:
  // `session` must outlive it.
  OwnIndex(ExtendIndex index, SaltedSession& session)
      : index_(std::move(index)), session_(&session) {}
  [[nodiscard]] CelRegister of() const override {
    return {CelRegister::Kind::nv_index, index_.index()};
  }
  [[nodiscard]] const std::vector<HashAlgorithm>& banks() const override { return banks_; }
  [[nodiscard]] Result<std::vector<Digest>> read(Device& device) override;
  [[nodiscard]] Result<void> extend(Device& device, const std::vector<Digest>& digests) override;

 private:
  ExtendIndex index_;
  SaltedSession* session_;
  std::vector<HashAlgorithm> banks_{HashAlgorithm::sha256};
};

}  // namespace cs::tpm
