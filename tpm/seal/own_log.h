// SPDX-License-Identifier: GPL-3.0-or-later
// The log of what we extend a register with: a CEL (docs/LOGS.md) that always agrees with it,
// wherever the process is killed or the power fails.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tpm/seal/disk.h"
#include "tpm/seal/own_register.h"

namespace cs::tpm {

// A record is written and synced first: that is the intent. Then the register is extended, and read
// again: that commits it. So the log is never shorter than the register, and at most one record
// longer; open() sees which, and makes up for the extension that is missing. A record that is torn
// was never extended, and is cut off.
//
// One file per boot, named after the register and the TPM's resetCount. Move-only; one writer at a
// time, which a lock file keeps to. Not for two threads at a time.
class OwnLog {
 public:
  struct Place {
    std::string directory;            // there already; of nobody else's
    std::size_t former = 4;           // logs of former boots that are kept
    std::size_t most = most_cel_log;  // bytes of one
    Disk* disk = &kernel_disk();
  };
  // `explained`: what others may have extended before the first record, in order, as far as it has
  // happened; the same whenever a log is opened within a boot. `of` must outlive the log.
  // Refused: busy, another process has it; unverified, the register is not what the log says: only
  // a reboot helps then.
  [[nodiscard]] static Result<OwnLog> open(Device& device, OwnRegister& of, Place place,
                                           const std::vector<ForeignEvent>& explained = {});

  // When it is done the event is in the log and the register. After an error nobody knows: the log
  // refuses all until it is opened anew, and then it is in both or in neither.
  [[nodiscard]] Result<void> append(Device& device, CelEvent event, ByteView content);

  // Refused (closed, anew): it has to be opened anew, after an error or a reset of the TPM.
  [[nodiscard]] Result<void> check_usable(const Device& device) const;

  // As a verifier takes it.
  [[nodiscard]] Result<std::vector<std::uint8_t>> read() const;
  [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
  // For how many bytes there still is.
  [[nodiscard]] std::size_t room() const noexcept {
    return size_ < place_.most ? place_.most - size_ : 0;
  }
  [[nodiscard]] const std::vector<Digest>& values() const noexcept { return values_; }

 private:
  OwnLog(OwnRegister& of, Place place, UniqueFd lock)
      : of_(&of), place_(std::move(place)), lock_(std::move(lock)) {}
  [[nodiscard]] Result<void> begin(Device& device, const std::vector<ForeignEvent>& explained);
  [[nodiscard]] Result<void> begin_anew(Device& device, const std::vector<ForeignEvent>& explained);
  [[nodiscard]] Result<void> settle(Device& device, ByteView bytes,
                                    const std::vector<ForeignEvent>& explained);
  [[nodiscard]] Result<void> extend(Device& device, const std::vector<Digest>& digests);
  [[nodiscard]] Result<void> append_once(Device& device, CelEvent event, ByteView content);
  [[nodiscard]] Result<void> drop_former() const;
  [[nodiscard]] Error reboot_needed(const std::vector<Digest>& found) const;

  OwnRegister* of_;
  Place place_;
  UniqueFd lock_;
  OpenFile file_;
  std::uint32_t reset_count_ = 0;
  std::uint64_t size_ = 0;
  std::uint64_t records_ = 0;
  std::vector<Digest> values_;  // of the register after the last record
  bool usable_ = false;
};

}  // namespace cs::tpm
