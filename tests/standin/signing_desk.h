// SPDX-License-Identifier: GPL-3.0-or-later
// Signs statements as slowly as the TPM that it stands for.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "keyms/signer_protocol.h"
#include "keyms/statement_check.h"
#include "nfq-signer/signature.h"
#include "tests/standin/scenario.h"

namespace cs::standin {

struct Behaviour {
  std::chrono::milliseconds latency{0};  // of one signature
  std::chrono::milliseconds jitter{0};   // at most this is added, so that answers overtake
  std::size_t depth = 1;                 // signatures at once; others wait
  std::size_t unanswered = keyms::max_unanswered;  // requests; what is above is busy
  std::optional<std::uint64_t> stall_after;        // answers; then none any more
  std::optional<std::uint64_t> die_after;          // answers; then SIGKILL
};

class SigningDesk {
 public:
  using Answer = std::function<void(const keyms::SignReply&)>;

  // The clock must outlive it; so must what `answer` refers to.
  SigningDesk(const Clock& clock, const Behaviour& behaviour, Answer answer)
      : clock_(&clock), behaviour_(behaviour), answer_(std::move(answer)) {}

  // For the connected nfq-signer, whose lanes `check` knows; that must outlive close() or clear().
  Result<void> open(const Key& key, BootTime end, keyms::StatementCheck& check);
  void close(std::uint32_t key) { open_.erase(key); }
  // The connection has gone: so have its requests.
  void clear();

  void take(const keyms::SignRequest& request);
  // Answers what is due.
  void tick();
  [[nodiscard]] std::optional<BootTime> deadline() const;

 private:
  struct Open {
    SigningKey signing;
    BootTime end;
    keyms::StatementCheck* check;
  };
  struct Job {
    keyms::SignRequest request;
    BootTime due;
  };

  // Null: no such key, or it has ended.
  [[nodiscard]] const Open* find(std::uint32_t key) const;
  void begin_waiting();
  void finish(const keyms::SignRequest& request);
  void answer(const keyms::SignReply& reply);
  [[nodiscard]] std::chrono::nanoseconds duration();

  const Clock* clock_;
  Behaviour behaviour_;
  Answer answer_;
  std::map<std::uint32_t, Open> open_;
  std::vector<Job> working_;
  std::deque<keyms::SignRequest> waiting_;
  std::uint64_t answers_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace cs::standin
