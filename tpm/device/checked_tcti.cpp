// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/checked_tcti.h"

#include <pthread.h>
#include <tss2/tss2_tcti.h>

#include <csignal>
#include <ctime>
#include <memory>
#include <utility>

#include "base/bytes.h"

namespace cs::tpm {
namespace {

constexpr std::uint64_t magic = 0x636f756e74657273;  // "counters"; a version 2 TCTI must have one

// tpm2-tss writes to the sockets of a software TPM as to files: to one that has gone away that ends
// the whole process.
class NoSigpipe {
 public:
  NoSigpipe() noexcept {
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;
  NoSigpipe(NoSigpipe&&) = delete;
  NoSigpipe& operator=(NoSigpipe&&) = delete;
  ~NoSigpipe() {
    constexpr timespec now{};
    if (!was_pending_) ::sigtimedwait(&pipe_, nullptr, &now);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

// What tpm2-tss sees: it begins with the table of functions.
struct Context {
  TSS2_TCTI_CONTEXT_COMMON_V2 common{};
  Tcti inner;
};

TSS2_TCTI_CONTEXT* inner(TSS2_TCTI_CONTEXT* context) {
  return reinterpret_cast<Context*>(context)->inner.get();
}

TSS2_RC transmit(TSS2_TCTI_CONTEXT* context, std::size_t size, const std::uint8_t* command) {
  const NoSigpipe guard;
  return Tss2_Tcti_Transmit(inner(context), size, command);
}

TSS2_RC receive(TSS2_TCTI_CONTEXT* context, std::size_t* size, std::uint8_t* answer,
                std::int32_t timeout) {
  const TSS2_RC rc = Tss2_Tcti_Receive(inner(context), size, answer, timeout);
  if (rc != TSS2_RC_SUCCESS || answer == nullptr) return rc;
  ByteReader header(ByteView(answer, *size));
  std::uint32_t stated = 0;
  if (!header.skip(2) || !header.u32be(stated) || !header.skip(4) || stated != *size) {
    return TSS2_TCTI_RC_MALFORMED_RESPONSE;
  }
  return rc;
}

TSS2_RC cancel(TSS2_TCTI_CONTEXT* context) {
  const NoSigpipe guard;
  return Tss2_Tcti_Cancel(inner(context));
}

TSS2_RC poll_handles(TSS2_TCTI_CONTEXT* context, TSS2_TCTI_POLL_HANDLE* handles,
                     std::size_t* count) {
  return Tss2_Tcti_GetPollHandles(inner(context), handles, count);
}

TSS2_RC set_locality(TSS2_TCTI_CONTEXT* context, std::uint8_t locality) {
  const NoSigpipe guard;
  return Tss2_Tcti_SetLocality(inner(context), locality);
}

}  // namespace

Tcti checked(Tcti inner) {
  auto context = std::make_unique<Context>();
  context->common.v1 = {magic,   2,       &transmit,     &receive,
                        nullptr, &cancel, &poll_handles, &set_locality};
  context->inner = std::move(inner);
  return {reinterpret_cast<TSS2_TCTI_CONTEXT*>(context.release()), [](TSS2_TCTI_CONTEXT* open) {
            const NoSigpipe guard;
            const std::unique_ptr<Context> owned(reinterpret_cast<Context*>(open));
          }};
}

}  // namespace cs::tpm
