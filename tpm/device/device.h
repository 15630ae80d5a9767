// SPDX-License-Identifier: GPL-3.0-or-later
// The connection to a TPM, and what is held in it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "tpm/device/capability.h"
#include "tpm/device/response.h"

struct ESYS_CONTEXT;  // tpm2-tss's, for tpm/*.cpp
struct TSS2_TCTI_OPAQUE_CONTEXT_BLOB;

namespace cs::tpm {

class FailedAuthorizations;
using EsysHandle = std::uint32_t;  // ESYS_TR: a number of one ESYS_CONTEXT, not the TPM's

// An object, session or index of one generation of one Device. Move-only. When it goes, what it
// held is flushed before the device's next command, and at the latest when the device closes: so
// its destructor neither fails nor waits, and any thread may run it.
class Handle {
 public:
  Handle() = default;  // none
  Handle(Handle&&) noexcept = default;
  Handle& operator=(Handle&& other) noexcept {
    std::swap(slot_, other.slot_);
    if (this != &other) other.drop();
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { drop(); }

  [[nodiscard]] explicit operator bool() const noexcept { return slot_ != nullptr; }

 private:
  friend class Device;
  struct Slot {
    EsysHandle esys = 0;
    std::uint32_t tpm = 0;  // the TPM's own number
    std::uint64_t generation = 0;
    std::vector<std::uint8_t> name;  // once it was asked for
    std::atomic<bool> dropped{false};
  };
  explicit Handle(std::shared_ptr<Slot> slot) noexcept : slot_(std::move(slot)) {}
  void drop() noexcept {
    if (slot_) slot_->dropped.store(true, std::memory_order_release);
    slot_.reset();
  }

  std::shared_ptr<Slot> slot_;
};

// How long a TPM has kept what was loaded into it. A new one begins whenever it may have forgotten.
struct Generation {
  std::uint64_t number = 1;
  std::string reason;  // "opened", "the TPM was reset (resetCount 4, was 3)", "connection lost"
  TpmClock clock;      // resetCount and restartCount as this generation found them
};

using Tcti = std::unique_ptr<TSS2_TCTI_OPAQUE_CONTEXT_BLOB,
                             std::function<void(TSS2_TCTI_OPAQUE_CONTEXT_BLOB*)>>;

// Through tpm2-tss's loader.
[[nodiscard]] Result<Tcti> connect_tcti(const std::string& name);

struct DeviceOptions {
  std::string tcti;  // "device:/dev/tpmrm0", "swtpm:path=/run/x", "swtpm:host=127.0.0.1,port=2321"
  // How long one command is repeated while the TPM asks for it (ESYS repeats it four times itself,
  // at once), and how long recover() tries before it fails.
  std::chrono::milliseconds repeat_for{5000};
  std::chrono::milliseconds reconnect_for{2000};
  // Where a failed authorisation is noted for the next process: FailedAuthorizations. Empty:
  // nowhere.
  std::string failures = {};
  // Seams for tests. The clock must outlive the device; null: the kernel's.
  std::function<Result<Tcti>(const std::string&)> connect = connect_tcti;
  const Clock* clock = nullptr;
};

// Not for two threads at a time: see Owner (owner.h). Move-only; closing it flushes what it holds.
class Device {
 public:
  // Connects, starts the TPM up if nobody has, reads its capabilities.
  [[nodiscard]] static Result<Device> open(DeviceOptions options);
  Device(Device&& other) noexcept;
  Device& operator=(Device&& other) noexcept;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device();

  // Runs one command, a call of an Esys_ function, as often as the TPM asks for (with back-off).
  // `asked` is for the error: "TPM2_Sign with the session signing key". While the connection is
  // lost everything fails with (closed, anew): a job never goes on in another generation than it
  // began in, because an ESYS_TR of the old one may be another object in the new.
  using Command = std::function<std::uint32_t(ESYS_CONTEXT*)>;
  [[nodiscard]] Result<void> call(std::string_view asked, const Command& command);
  // The same with a command marshalled by the caller, for what ESYS is too slow for. `read` gets
  // the answer when the TPM has done it; what it refuses is no TPM's answer, and ends the
  // connection.
  using ReadAnswer = std::function<Result<void>(ByteView answer)>;
  [[nodiscard]] Result<void> transceive(std::string_view asked, ByteView command,
                                        const ReadAnswer& read);
  // Of the last call; `command` also where it did not fail, or never reached the TPM.
  [[nodiscard]] Trouble last_trouble() const noexcept;

  // Takes what a command has just made into care; `resolve` gives it for the next command. Refused
  // (not_found, anew): none, or one of a former generation.
  [[nodiscard]] Handle adopt(EsysHandle made);
  [[nodiscard]] Result<EsysHandle> resolve(const Handle& handle) const;
  // The same as the TPM's own number, for transceive().
  [[nodiscard]] Result<std::uint32_t> tpm_handle(const Handle& handle) const;
  // The Name of what was adopted, or of a hierarchy. ESYS works it out anew each time: so
  // this keeps it, but for NV indices, whose Name changes.
  [[nodiscard]] Result<std::vector<std::uint8_t>> name_of(std::string_view asked,
                                                          EsysHandle entity);
  // For what a command has used up (a completed sequence): nothing is left to flush.
  void consumed(Handle handle) noexcept;

  // If the connection is lost or the TPM was reset: connects anew, with back-off, at most
  // reconnect_for; then begins the next generation. Else does nothing. After a failure it fails at
  // once for a second, so that a queue of jobs does not wait for each. Errors: as open.
  [[nodiscard]] Result<void> recover();
  [[nodiscard]] bool lost() const noexcept;
  // Whether it answers, and is in the power cycle in which this generation began. A kernel's driver
  // hides a reset behind a connection that goes on.
  [[nodiscard]] Result<void> look();
  [[nodiscard]] const Generation& generation() const noexcept;

  // As read at the generation's begin.
  [[nodiscard]] const Capabilities& capabilities() const noexcept;
  [[nodiscard]] FailedAuthorizations& failed_authorizations() noexcept;
  [[nodiscard]] const Clock& clock() const noexcept;

 private:
  struct State;
  explicit Device(std::unique_ptr<State> state);
  Result<void> connect();
  Result<void> start_up();
  Result<void> reopen();
  void flush_dropped();
  void react(Trouble trouble, const Error& error);

  std::unique_ptr<State> state_;
};

}  // namespace cs::tpm
