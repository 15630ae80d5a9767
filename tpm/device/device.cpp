// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/device.h"

#include <tss2/tss2_tctildr.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <thread>
#include <utility>

#include "tpm/device/authorization.h"
#include "tpm/device/backoff.h"
#include "tpm/device/checked_tcti.h"
#include "tpm/device/esys.h"

namespace cs::tpm {
namespace {

constexpr std::chrono::seconds rest_after_failure{1};

// tpm2-tss writes each failure to standard error; ours are Errors. It reads this when it first has
// something to say; before main there is no other thread that could read the environment.
const bool quiet = ::setenv("TSS2_LOG", "all+NONE", 0) == 0;

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

struct Finalize {
  void operator()(ESYS_CONTEXT* context) const noexcept { Esys_Finalize(&context); }
};

bool is_volatile(TPM2_HANDLE handle) {
  const auto type = static_cast<TPM2_HT>(handle >> TPM2_HR_SHIFT);
  return type == TPM2_HT_TRANSIENT || type == TPM2_HT_HMAC_SESSION ||
         type == TPM2_HT_POLICY_SESSION;
}

Generation following(const Generation& last, const std::string& why, const TpmClock& now) {
  Generation next{last.number + 1, why, now};
  if (now.reset_count != last.clock.reset_count) {
    next.reason = "the TPM was reset (resetCount " + std::to_string(now.reset_count) + ", was " +
                  std::to_string(last.clock.reset_count) + ")";
  } else if (now.restart_count != last.clock.restart_count) {
    next.reason = "the TPM was resumed (restartCount " + std::to_string(now.restart_count) +
                  ", was " + std::to_string(last.clock.restart_count) + ")";
  }
  return next;
}

// If the TPM refuses three times it will not do it: what is left then is that ESYS does not keep
// the entry either.
void flush(ESYS_CONTEXT* esys, ESYS_TR handle, bool in_tpm) {
  for (int attempt = 0; in_tpm && attempt < 3; ++attempt) {
    if (Esys_FlushContext(esys, handle) == TSS2_RC_SUCCESS) return;
  }
  Esys_TR_Close(esys, &handle);
}

// checked_tcti has seen that there is one.
TSS2_RC code_of(ByteView answer) {
  ByteReader in(answer);
  std::uint32_t code = 0;
  return in.skip(6) && in.u32be(code) ? code : TSS2_TCTI_RC_MALFORMED_RESPONSE;
}

bool same_power_cycle(const TpmClock& a, const TpmClock& b) {
  return a.reset_count == b.reset_count && a.restart_count == b.restart_count;
}

Error was_reset() {
  return Error(ErrorKind::closed, "the TPM was reset: what was loaded into it is gone")
      .with_retry(Retry::anew);
}

}  // namespace

Result<Tcti> connect_tcti(const std::string& name) {
  TSS2_TCTI_CONTEXT* context = nullptr;
  const TSS2_RC rc = Tss2_TctiLdr_Initialize(name.c_str(), &context);
  if (rc != TSS2_RC_SUCCESS) return response_error(rc, "opening the TPM " + name);
  return Tcti(context, [](TSS2_TCTI_CONTEXT* open) { Tss2_TctiLdr_Finalize(&open); });
}

struct Device::State {
  DeviceOptions options;
  const Clock& clock;
  Tcti tcti;
  std::unique_ptr<ESYS_CONTEXT, Finalize> esys;  // closed before its TCTI
  std::vector<std::shared_ptr<Handle::Slot>> slots;
  FailedAuthorizations failed;
  Capabilities capabilities;
  Generation generation;
  std::optional<Error> lost;  // why a new generation is needed
  std::optional<Error> unreachable;
  BootTime next_attempt;
  Trouble trouble = Trouble::command;

  explicit State(DeviceOptions given)
      : options(std::move(given)),
        clock(options.clock != nullptr ? *options.clock : system_clock()),
        failed(options.failures, clock) {}
};

Device::Device(std::unique_ptr<State> state) : state_(std::move(state)) {}
Device::Device(Device&& other) noexcept = default;
Device& Device::operator=(Device&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Device::~Device() {
  if (!state_ || state_->lost || !state_->esys) return;
  for (auto& slot : state_->slots) slot->dropped.store(true);
  flush_dropped();
}

Result<Device> Device::open(DeviceOptions options) {
  Device device(std::make_unique<State>(std::move(options)));
  State& state = *device.state_;
  CS_CHECK(device.connect());
  CS_TRY(state.generation.clock, read_clock(device));
  CS_TRY(state.capabilities, read_capabilities(device));
  state.generation.reason = "opened";
  return device;
}

Result<void> Device::connect() {
  State& state = *state_;
  state.esys.reset();
  state.tcti.reset();
  CS_TRY(Tcti tcti, state.options.connect(state.options.tcti));
  state.tcti = checked(std::move(tcti));
  ESYS_CONTEXT* esys = nullptr;
  const TSS2_RC rc = Esys_Initialize(&esys, state.tcti.get(), nullptr);
  if (rc != TSS2_RC_SUCCESS) return response_error(rc, "opening the TPM " + state.options.tcti);
  state.esys.reset(esys);
  state.lost.reset();
  return start_up();
}

// Firmware and kernel have done this on a real machine; a TPM that has not begun says so to all
// else.
Result<void> Device::start_up() {
  const auto started = read_clock(*this);
  if (started.ok()) return {};
  if (state_->trouble != Trouble::not_started) return started.error();
  state_->lost.reset();
  return call("TPM2_Startup", [](ESYS_CONTEXT* esys) {
    const TSS2_RC rc = Esys_Startup(esys, TPM2_SU_CLEAR);
    return rc == TPM2_RC_INITIALIZE ? TSS2_RC_SUCCESS : rc;  // somebody else just has
  });
}

Result<void> Device::call(std::string_view asked, const Command& command) {
  State& state = *state_;
  state.trouble = Trouble::command;
  if (state.lost) return Error(*state.lost).context(asked);
  flush_dropped();
  Backoff backoff(state.clock, state.options.repeat_for);
  for (;;) {
    const TSS2_RC rc = command(state.esys.get());
    if (rc == TSS2_RC_SUCCESS) [[likely]]
      return {};
    const Trouble trouble = explain(rc).trouble;
    if (trouble == Trouble::transient && backoff.wait()) continue;
    Error error = response_error(rc, asked);
    react(trouble, error);
    return error;
  }
}

Result<void> Device::transceive(std::string_view asked, ByteView command, const ReadAnswer& read) {
  std::array<std::uint8_t, TPM2_MAX_RESPONSE_SIZE> bytes{};
  ByteView answer;
  CS_CHECK(call(asked, [&](ESYS_CONTEXT* /*esys*/) {
    TSS2_TCTI_CONTEXT* const tcti = state_->tcti.get();
    TSS2_RC rc = Tss2_Tcti_Transmit(tcti, command.size(), command.data());
    std::size_t size = bytes.size();
    if (rc == TSS2_RC_SUCCESS) {
      rc = Tss2_Tcti_Receive(tcti, &size, bytes.data(), TSS2_TCTI_TIMEOUT_BLOCK);
    }
    if (rc != TSS2_RC_SUCCESS) return rc;
    answer = ByteView(bytes).first(size);
    return code_of(answer);
  }));
  auto done = read(answer).context(asked);
  if (!done.ok()) react(Trouble::connection, done.error());
  return done;
}

// What does not concern this command alone ends the generation.
void Device::react(Trouble trouble, const Error& error) {
  State& state = *state_;
  state.trouble = trouble;
  if (trouble == Trouble::connection || trouble == Trouble::not_started) {
    state.lost = Error(ErrorKind::closed, "the TPM must be opened again: " + error.message())
                     .with_retry(Retry::anew);
  }
  if (trouble != Trouble::object_gone) return;
  Out<TPMS_TIME_INFO> now;
  const TSS2_RC rc =
      Esys_ReadClock(state.esys.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, now.out());
  if (rc == TSS2_RC_SUCCESS &&
      same_power_cycle({0, now->clockInfo.resetCount, now->clockInfo.restartCount, false},
                       state.generation.clock)) {
    return;
  }
  state.lost = was_reset();
}

Result<void> Device::look() {
  CS_TRY(const TpmClock now, read_clock(*this));
  if (same_power_cycle(now, state_->generation.clock)) return {};
  state_->lost = was_reset();
  return *state_->lost;
}

Trouble Device::last_trouble() const noexcept {
  return state_->trouble;
}

Handle Device::adopt(EsysHandle made) {
  auto slot = std::make_shared<Handle::Slot>();
  slot->esys = made;
  slot->generation = state_->generation.number;
  Esys_TR_GetTpmHandle(state_->esys.get(), made, &slot->tpm);
  state_->slots.push_back(slot);
  return Handle(std::move(slot));
}

Result<EsysHandle> Device::resolve(const Handle& handle) const {
  if (!handle) return Error(ErrorKind::not_found, "a TPM object that was never made");
  if (handle.slot_->generation != state_->generation.number) {
    return Error(ErrorKind::not_found, "the TPM object was lost: " + state_->generation.reason)
        .with_retry(Retry::anew);
  }
  return handle.slot_->esys;
}

Result<std::uint32_t> Device::tpm_handle(const Handle& handle) const {
  CS_CHECK(resolve(handle));
  return handle.slot_->tpm;
}

Result<std::vector<std::uint8_t>> Device::name_of(std::string_view asked, EsysHandle entity) {
  std::shared_ptr<Handle::Slot> kept;  // calling may take it out of the list
  for (const auto& slot : state_->slots) {
    if (slot->esys == entity) kept = slot;
  }
  if (kept && !kept->name.empty()) return kept->name;
  Out<TPM2B_NAME> read;
  CS_CHECK(
      call(asked, [&](ESYS_CONTEXT* esys) { return Esys_TR_GetName(esys, entity, read.out()); }));
  const ByteView name = view(*read);
  std::vector<std::uint8_t> found(name.begin(), name.end());
  if (kept && (kept->tpm >> TPM2_HR_SHIFT) != TPM2_HT_NV_INDEX) kept->name = found;
  return found;
}

void Device::consumed(Handle handle) noexcept {
  std::erase(state_->slots, handle.slot_);
}

void Device::flush_dropped() {
  State& state = *state_;
  std::erase_if(state.slots, [&](const auto& slot) {
    if (!slot->dropped.load(std::memory_order_acquire)) return false;
    flush(state.esys.get(), slot->esys, is_volatile(slot->tpm));
    return true;
  });
}

// The TPM was on all the time and no resource manager cleared up after us: what was ours is still
// in its slots, and has no ESYS_TR any more.
static void flush_leftovers(ESYS_CONTEXT* esys, const std::vector<TPM2_HANDLE>& leftovers) {
  TSS2_SYS_CONTEXT* sapi = nullptr;
  if (Esys_GetSysContext(esys, &sapi) != TSS2_RC_SUCCESS) return;
  for (const TPM2_HANDLE handle : leftovers) Tss2_Sys_FlushContext(sapi, handle);
}

Result<void> Device::reopen() {
  State& state = *state_;
  const std::string why =
      state.lost ? "connection lost (" + state.lost->message() + ")" : "connection lost";
  CS_CHECK(connect());
  CS_TRY(const TpmClock now, read_clock(*this));
  std::vector<TPM2_HANDLE> leftovers;
  for (const auto& slot : state.slots) {
    if (is_volatile(slot->tpm)) leftovers.push_back(slot->tpm);
  }
  if (same_power_cycle(now, state.generation.clock)) flush_leftovers(state.esys.get(), leftovers);
  state.slots.clear();
  CS_TRY(state.capabilities, read_capabilities(*this));
  state.generation = following(state.generation, why, now);
  return {};
}

Result<void> Device::recover() {
  State& state = *state_;
  if (!state.lost) return {};
  if (state.unreachable && state.clock.boot() < state.next_attempt) return *state.unreachable;
  Error lost = *state.lost;
  Backoff backoff(state.clock, state.options.reconnect_for);
  for (;;) {
    const auto opened = reopen();
    if (opened.ok()) break;
    // Half opened is not open.
    state.lost = lost;
    if (backoff.wait()) continue;
    state.unreachable = Error(opened.error()).context("the TPM has not come back");
    state.next_attempt = state.clock.boot() + rest_after_failure;
    return *state.unreachable;
  }
  state.unreachable.reset();
  return {};
}

bool Device::lost() const noexcept {
  return state_->lost.has_value();
}
const Generation& Device::generation() const noexcept {
  return state_->generation;
}
const Capabilities& Device::capabilities() const noexcept {
  return state_->capabilities;
}
FailedAuthorizations& Device::failed_authorizations() noexcept {
  return state_->failed;
}
const Clock& Device::clock() const noexcept {
  return state_->clock;
}

}  // namespace cs::tpm
