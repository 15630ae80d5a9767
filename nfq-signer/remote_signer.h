// SPDX-License-Identifier: GPL-3.0-or-later
// Statements that keymsd signs: from the workers' threads to the one that has the socket, and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"
#include "nfq-signer/root_signer.h"

namespace cs {

// Where workers leave statements and find signatures. Its tickets are its own, one for each
// statement of any worker. For any thread.
class SignatureExchange {
 public:
  struct Request {
    std::uint64_t ticket = 0;
    std::uint32_t key = 0;
    Statement statement{};
  };

  // Fails when the system has no descriptors left.
  static Result<std::shared_ptr<SignatureExchange>> create();

  // The socket's side.

  // Readable when there may be requests.
  [[nodiscard]] int fd() const noexcept { return wake_.get(); }
  // Up to `most` that nobody has taken.
  void take(std::size_t most, std::vector<Request>& out);
  // With the ticket it got from take(). One nobody waits for is forgotten.
  void reply(const RootSigner::Reply& reply);
  // There is no connection: what waits is to be asked again later.
  void postpone_all();

  // The workers' side: a signer for one worker and one key. `depth`: statements of it that may
  // wait. Keeps the exchange alive.
  [[nodiscard]] static Result<std::unique_ptr<RootSigner>> make_signer(
      std::shared_ptr<SignatureExchange> exchange, std::uint32_t key, std::size_t depth);

 private:
  class Signer;
  struct Waiting {
    Signer* signer;
    std::uint64_t ticket;  // the worker's
  };

  explicit SignatureExchange(UniqueFd wake) : wake_(std::move(wake)) {}

  UniqueFd wake_;
  std::mutex mutex_;
  std::uint64_t next_ticket_ = 1;
  std::vector<Request> requests_;
  std::unordered_map<std::uint64_t, Waiting> waiting_;  // all that is not answered
};

}  // namespace cs
