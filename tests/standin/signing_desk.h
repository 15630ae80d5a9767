// SPDX-License-Identifier: GPL-3.0-or-later
// Signs statements as slowly as the TPM that it stands for.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "keyms/statement_signer.h"
#include "nfq-signer/signature.h"

namespace cs::standin {

struct Behaviour {
  std::chrono::milliseconds latency{0};  // of one signature
  std::chrono::milliseconds jitter{0};   // at most this is added, so that answers overtake
  std::size_t depth = 1;                 // signatures at once; others wait
  std::size_t unanswered = keyms::max_unanswered;  // requests; what is above is busy
  std::optional<std::uint64_t> stall_after;        // answers; then none any more
  std::optional<std::uint64_t> die_after;          // answers; then SIGKILL
};

class SigningDesk final : public keyms::StatementSigner {
 public:
  // The clock must outlive it.
  SigningDesk(const Clock& clock, const Behaviour& behaviour)
      : clock_(&clock), behaviour_(behaviour) {}

  Result<void> open(const Opening& opening, const SecretBytes& private_key);
  void close(std::uint32_t key) override { open_.erase(key); }
  void clear() override;

  void take(const keyms::SignRequest& request) override;
  // What is due; or dies, if it is to and the last answer has gone.
  void collect(std::vector<Answer>& out) override;
  [[nodiscard]] std::optional<BootTime> deadline() const override;

 private:
  struct OpenKey {
    SigningKey signing;
    Opening opening;
  };
  struct Job {
    keyms::SignRequest request;
    BootTime due;
  };

  [[nodiscard]] bool dies_next() const;
  // Null: no such key, or it has ended.
  [[nodiscard]] const OpenKey* find(std::uint32_t key) const;
  void begin_waiting();
  void finish(const keyms::SignRequest& request);
  void finish_due();
  [[nodiscard]] std::chrono::nanoseconds duration();

  const Clock* clock_;
  Behaviour behaviour_;
  std::map<std::uint32_t, OpenKey> open_;
  std::vector<Job> working_;
  std::deque<keyms::SignRequest> waiting_;
  std::vector<keyms::SignReply> finished_;
  std::uint64_t answers_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace cs::standin
