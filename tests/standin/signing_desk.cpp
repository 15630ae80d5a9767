// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/standin/signing_desk.h"

#include <algorithm>
#include <csignal>
#include <utility>

namespace cs::standin {

Result<void> SigningDesk::open(const Key& key, BootTime end, keyms::StatementCheck& check) {
  CS_TRY(const SecretBytes secret, SecretBytes::copy_of(key.private_key.value()));
  CS_TRY(SigningKey signing, SigningKey::load(static_cast<Suite>(key.scope.suite), secret));
  open_.insert_or_assign(key.scope.key, Open{std::move(signing), end, &check});
  return {};
}

void SigningDesk::clear() {
  open_.clear();
  working_.clear();
  waiting_.clear();
}

const SigningDesk::Open* SigningDesk::find(std::uint32_t key) const {
  const auto found = open_.find(key);
  return found == open_.end() || found->second.end <= clock_->boot() ? nullptr : &found->second;
}

void SigningDesk::take(const keyms::SignRequest& request) {
  if (working_.size() + waiting_.size() >= behaviour_.unanswered)
    return answer({request.ticket, keyms::SignStatus::busy, {}});
  const Open* key = find(request.key);
  const auto status =
      key == nullptr ? keyms::SignStatus::unknown_key : key->check->admit(request.statement);
  if (status != keyms::SignStatus::done) return answer({request.ticket, status, {}});
  waiting_.push_back(request);
  begin_waiting();
}

std::chrono::nanoseconds SigningDesk::duration() {
  const std::chrono::nanoseconds most = behaviour_.jitter;
  return behaviour_.latency + std::chrono::nanoseconds(std::uniform_int_distribution<std::int64_t>(
                                  0, most.count())(random_));
}

void SigningDesk::begin_waiting() {
  while (!waiting_.empty() && working_.size() < behaviour_.depth) {
    working_.push_back({waiting_.front(), clock_->boot() + duration()});
    waiting_.pop_front();
  }
}

void SigningDesk::finish(const keyms::SignRequest& request) {
  const Open* key = find(request.key);
  if (key == nullptr) return answer({request.ticket, keyms::SignStatus::unknown_key, {}});
  const auto signature = key->signing.sign(request.statement);
  if (!signature.ok()) return answer({request.ticket, keyms::SignStatus::failed, {}});
  answer({request.ticket, keyms::SignStatus::done, *signature});
}

void SigningDesk::answer(const keyms::SignReply& reply) {
  if (behaviour_.stall_after && answers_ >= *behaviour_.stall_after) return;
  answer_(reply);
  ++answers_;
  if (behaviour_.die_after && answers_ >= *behaviour_.die_after) static_cast<void>(raise(SIGKILL));
}

void SigningDesk::tick() {
  const BootTime now = clock_->boot();
  const auto by_time = [](const Job& one, const Job& other) { return one.due < other.due; };
  for (;;) {
    const auto next = std::min_element(working_.begin(), working_.end(), by_time);
    if (next == working_.end() || next->due > now) return;
    const keyms::SignRequest request = next->request;
    working_.erase(next);
    finish(request);
    begin_waiting();
  }
}

std::optional<BootTime> SigningDesk::deadline() const {
  std::optional<BootTime> first;
  for (const Job& job : working_) first = std::min(first.value_or(job.due), job.due);
  return first;
}

}  // namespace cs::standin
