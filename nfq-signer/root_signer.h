// SPDX-License-Identifier: GPL-3.0-or-later
// Who signs batch statements: a key in memory, or somebody at the other end of a socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "nfq-signer/batch.h"
#include "nfq-signer/signature.h"

namespace cs {

// For one thread.
class RootSigner {
 public:
  struct Reply {
    std::uint64_t ticket = 0;
    std::optional<Signature> signature;  // none: refused, or the signer is gone
    bool is_busy = false;                // not refused: later it may be signed
  };

  RootSigner() = default;
  RootSigner(const RootSigner&) = delete;
  RootSigner& operator=(const RootSigner&) = delete;
  RootSigner(RootSigner&&) = delete;
  RootSigner& operator=(RootSigner&&) = delete;
  virtual ~RootSigner() = default;

  // How many statements may wait for their signature.
  [[nodiscard]] virtual std::size_t depth() const noexcept = 0;
  // Never waits. False: it could not be handed over, and no reply will come.
  [[nodiscard]] virtual bool submit(std::uint64_t ticket, const Statement& statement) = 0;
  // Appends the replies that are there, in any order; never waits.
  virtual void collect(std::vector<Reply>& out) = 0;
  // Readable when collect() may have something; -1: collect() has it right after submit().
  [[nodiscard]] virtual int fd() const noexcept = 0;
};

class LocalSigner final : public RootSigner {
 public:
  explicit LocalSigner(SigningKey key) : key_(std::move(key)) {}

  [[nodiscard]] std::size_t depth() const noexcept override { return 1; }
  [[nodiscard]] bool submit(std::uint64_t ticket, const Statement& statement) override {
    auto signature = key_.sign(statement);
    if (!signature.ok()) return false;
    reply_ = {ticket, std::move(signature).value()};
    return true;
  }
  void collect(std::vector<Reply>& out) override {
    if (reply_) out.push_back(*std::exchange(reply_, std::nullopt));
  }
  [[nodiscard]] int fd() const noexcept override { return -1; }

 private:
  SigningKey key_;
  std::optional<Reply> reply_;
};

}  // namespace cs
