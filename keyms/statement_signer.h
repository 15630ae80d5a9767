// SPDX-License-Identifier: GPL-3.0-or-later
// Who signs statements with keys that nfq-signer does not get: the TPM, or what stands for it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "keyms/signer_protocol.h"
#include "keyms/statement_check.h"

namespace cs::keyms {

// For one thread and its event loop: hand it each sign request, and send what collect() gives when
// fd() is readable or deadline() has come. It never waits.
class StatementSigner {
 public:
  // A key, for the nfq-signer that is connected.
  struct Opening {
    KeyScope scope;
    BootTime end;
    std::shared_ptr<StatementCheck> check;  // of its lanes, for as long as they are its
  };
  using Open = std::function<Result<void>(const Opening&)>;
  struct Answer {
    SignReply reply;
    std::optional<Error> why;  // with `failed`, for the log
  };

  StatementSigner() = default;
  StatementSigner(const StatementSigner&) = delete;
  StatementSigner& operator=(const StatementSigner&) = delete;
  StatementSigner(StatementSigner&&) = delete;
  StatementSigner& operator=(StatementSigner&&) = delete;
  virtual ~StatementSigner() = default;

  virtual void close(std::uint32_t key) = 0;
  // The connection has gone: so have its keys and requests.
  virtual void clear() = 0;

  // Admitted or refused at once.
  virtual void take(const SignRequest& request) = 0;
  // Appends the answers that are there.
  virtual void collect(std::vector<Answer>& out) = 0;

  [[nodiscard]] virtual int fd() const noexcept { return -1; }
  [[nodiscard]] virtual std::optional<BootTime> deadline() const { return std::nullopt; }
};

}  // namespace cs::keyms
