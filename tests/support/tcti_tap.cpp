// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/tcti_tap.h"

#include <tss2/tss2_tctildr.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/byte_writer.h"
#include "tpm/device/response.h"

namespace cs::test {

constexpr std::size_t header_size = 10;

// What libtss2 sees: begins with its table of functions.
struct TctiTap::Context {
  TSS2_TCTI_CONTEXT_COMMON_V2 common{};
  TctiTap* tap = nullptr;

  static TctiTap& of(TSS2_TCTI_CONTEXT* context) {
    return *reinterpret_cast<Context*>(context)->tap;
  }
  static TSS2_RC transmit(TSS2_TCTI_CONTEXT* context, std::size_t size, const std::uint8_t* bytes);
  static TSS2_RC receive(TSS2_TCTI_CONTEXT* context, std::size_t* size, std::uint8_t* bytes,
                         std::int32_t timeout);
  static void finalize(TSS2_TCTI_CONTEXT* context) {
    TctiTap& tap = of(context);
    const std::lock_guard lock(tap.mutex_);
    tap.under_way_ = false;
    tap.inner_.reset();
    tap.idle_.notify_all();
  }
};

namespace {

TSS2_RC answer_with(std::uint32_t code, std::size_t* size, std::uint8_t* bytes) {
  ByteWriter writer(ByteSpan(bytes, *size));
  writer.u16be(TPM2_ST_NO_SESSIONS).u32be(header_size).u32be(code);
  *size = header_size;
  return writer.ok() ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
}

}  // namespace

TSS2_RC TctiTap::Context::transmit(TSS2_TCTI_CONTEXT* context, std::size_t size,
                                   const std::uint8_t* bytes) {
  TctiTap& tap = of(context);
  std::unique_lock lock(tap.mutex_);
  tap.idle_.wait(lock, [&] { return !tap.under_way_; });
  ++tap.number_;
  tap.fate_ = tap.decide_ ? tap.decide_(tap.number_, ByteView(bytes, size)) : Fate{};
  if (tap.fate_.kind == Fate::Kind::break_before) return TSS2_TCTI_RC_IO_ERROR;
  tap.under_way_ = true;
  if (tap.fate_.kind == Fate::Kind::answer) return TSS2_RC_SUCCESS;
  const TSS2_RC rc = Tss2_Tcti_Transmit(tap.inner_.get(), size, bytes);
  if (rc != TSS2_RC_SUCCESS) tap.under_way_ = false;
  return rc;
}

TSS2_RC TctiTap::Context::receive(TSS2_TCTI_CONTEXT* context, std::size_t* size,
                                  std::uint8_t* bytes, std::int32_t timeout) {
  if (bytes == nullptr) {
    *size = TPM2_MAX_RESPONSE_SIZE;
    return TSS2_RC_SUCCESS;
  }
  TctiTap& tap = of(context);
  const std::lock_guard lock(tap.mutex_);
  tap.under_way_ = false;
  tap.idle_.notify_all();
  if (tap.fate_.kind == Fate::Kind::answer) return answer_with(tap.fate_.code, size, bytes);
  const TSS2_RC rc = Tss2_Tcti_Receive(tap.inner_.get(), size, bytes, timeout);
  if (rc != TSS2_RC_SUCCESS) return rc;
  if (tap.fate_.kind == Fate::Kind::break_after) return TSS2_TCTI_RC_IO_ERROR;
  if (tap.fate_.kind == Fate::Kind::cut) *size = std::min<std::size_t>(*size, tap.fate_.code);
  if (tap.fate_.kind == Fate::Kind::corrupt && tap.fate_.code < *size) bytes[tap.fate_.code] ^= 1U;
  return rc;
}

void TctiTap::decide(Decide decide) {
  const std::lock_guard lock(mutex_);
  decide_ = std::move(decide);
  number_ = 0;
}

unsigned TctiTap::commands() const {
  const std::lock_guard lock(mutex_);
  return number_;
}

tpm::DeviceOptions TctiTap::options(const std::string& tcti) {
  tpm::DeviceOptions options;
  options.tcti = tcti;
  options.connect = [this](const std::string& name) -> Result<tpm::Tcti> {
    TSS2_TCTI_CONTEXT* inner = nullptr;
    const TSS2_RC rc = Tss2_TctiLdr_Initialize(name.c_str(), &inner);
    if (rc != TSS2_RC_SUCCESS) return tpm::response_error(rc, "opening the TPM");
    const std::lock_guard lock(mutex_);
    inner_ = tpm::Tcti(inner, [](TSS2_TCTI_CONTEXT* open) { Tss2_TctiLdr_Finalize(&open); });
    auto context = std::make_unique<Context>();
    context->tap = this;
    context->common.v1.version = 2;
    context->common.v1.transmit = &Context::transmit;
    context->common.v1.receive = &Context::receive;
    context->common.v1.finalize = &Context::finalize;
    return tpm::Tcti(reinterpret_cast<TSS2_TCTI_CONTEXT*>(context.release()),
                     [](TSS2_TCTI_CONTEXT* open) {
                       Context::finalize(open);
                       delete reinterpret_cast<Context*>(open);
                     });
  };
  return options;
}

Result<std::vector<std::uint8_t>> TctiTap::send(ByteView command) {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return !under_way_; });
  if (!inner_) return Error(ErrorKind::closed, "the device has closed");
  TSS2_RC rc = Tss2_Tcti_Transmit(inner_.get(), command.size(), command.data());
  std::vector<std::uint8_t> answer(TPM2_MAX_RESPONSE_SIZE);
  std::size_t size = answer.size();
  if (rc == TSS2_RC_SUCCESS) {
    rc = Tss2_Tcti_Receive(inner_.get(), &size, answer.data(), TSS2_TCTI_TIMEOUT_BLOCK);
  }
  if (rc != TSS2_RC_SUCCESS) return tpm::response_error(rc, "somebody else's command");
  answer.resize(size);
  return answer;
}

std::vector<std::uint8_t> extend_command(std::uint32_t pcr) {
  constexpr std::uint32_t size = 65;
  ByteBuilder command(size);
  command.u16be(TPM2_ST_SESSIONS).u32be(size).u32be(TPM2_CC_PCR_Extend).u32be(pcr);
  command.u32be(9).u32be(TPM2_RS_PW).u16be(0).u8(0).u16be(0);
  command.u32be(1).u16be(TPM2_ALG_SHA256).zeros(32);
  auto built = command.finish("TPM2_PCR_Extend");
  return built.ok() ? std::move(built).value() : std::vector<std::uint8_t>();
}

std::uint32_t command_code(ByteView command) {
  ByteReader reader(command);
  std::uint32_t code = 0;
  return reader.skip(6) && reader.u32be(code) ? code : 0;
}

}  // namespace cs::test
