// SPDX-License-Identifier: GPL-3.0-or-later
// Sits between a Device and the TPM, and decides what becomes of each command.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tpm/device/device.h"

namespace cs::test {

struct Fate {
  enum class Kind : std::uint8_t {
    pass,          // to the TPM and back
    answer,        // the TPM never sees it and seems to answer with `code`
    break_before,  // the connection breaks, the TPM never sees it
    break_after,   // the TPM does it, the answer is lost
    cut,           // of the answer only the first `code` bytes arrive
    corrupt,       // one bit of the answer's byte at `code` is flipped
  };
  Kind kind = Kind::pass;
  std::uint32_t code = 0;
};

// Several threads may use it: one through a Device, others through send(). The device that was
// opened with options() must go first.
class TctiTap {
 public:
  // Asked for each of the device's commands, on its thread; counts from 1.
  using Decide = std::function<Fate(unsigned number, ByteView command)>;
  explicit TctiTap(Decide decide = {}) : decide_(std::move(decide)) {}
  void decide(Decide decide);
  [[nodiscard]] unsigned commands() const;

  [[nodiscard]] tpm::DeviceOptions options(const std::string& tcti);

  // Somebody else's command, between two of the device's. Returns the answer.
  Result<std::vector<std::uint8_t>> send(ByteView command);

  struct Context;

 private:
  friend struct Context;
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable idle_;
  bool under_way_ = false;
  unsigned number_ = 0;
  Fate fate_;
  Decide decide_;
  tpm::Tcti inner_;
};

// TPM2_PCR_Extend of one register in the bank sha256, with the password session and an empty
// password, as the kernel sends it.
[[nodiscard]] std::vector<std::uint8_t> extend_command(std::uint32_t pcr);
// The command code of a command, 0 if it has none.
[[nodiscard]] std::uint32_t command_code(ByteView command);

}  // namespace cs::test
