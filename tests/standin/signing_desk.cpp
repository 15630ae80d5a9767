// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/standin/signing_desk.h"

#include <algorithm>
#include <csignal>
#include <utility>

namespace cs::standin {

Result<void> SigningDesk::open(const Opening& opening, const SecretBytes& private_key) {
  CS_TRY(SigningKey signing,
         SigningKey::load(static_cast<Suite>(opening.scope.suite), private_key));
  open_.insert_or_assign(opening.scope.key, OpenKey{std::move(signing), opening});
  return {};
}

void SigningDesk::clear() {
  open_.clear();
  working_.clear();
  waiting_.clear();
  finished_.clear();
}

const SigningDesk::OpenKey* SigningDesk::find(std::uint32_t key) const {
  const auto found = open_.find(key);
  return found == open_.end() || found->second.opening.end <= clock_->boot() ? nullptr
                                                                             : &found->second;
}

void SigningDesk::take(const keyms::SignRequest& request) {
  if (working_.size() + waiting_.size() >= behaviour_.unanswered)
    return finished_.push_back({request.ticket, keyms::SignStatus::busy, {}});
  const OpenKey* key = find(request.key);
  const auto status = key == nullptr ? keyms::SignStatus::unknown_key
                                     : key->opening.check->admit(request.statement);
  if (status != keyms::SignStatus::done) return finished_.push_back({request.ticket, status, {}});
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
  const OpenKey* key = find(request.key);
  if (key == nullptr)
    return finished_.push_back({request.ticket, keyms::SignStatus::unknown_key, {}});
  const auto signature = key->signing.sign(request.statement);
  finished_.push_back(signature.ok()
                          ? keyms::SignReply{request.ticket, keyms::SignStatus::done, *signature}
                          : keyms::SignReply{request.ticket, keyms::SignStatus::failed, {}});
}

void SigningDesk::finish_due() {
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

bool SigningDesk::dies_next() const {
  return behaviour_.die_after && answers_ >= *behaviour_.die_after;
}

void SigningDesk::collect(std::vector<Answer>& out) {
  if (dies_next()) static_cast<void>(raise(SIGKILL));
  finish_due();
  for (const keyms::SignReply& reply : std::exchange(finished_, {})) {
    if (dies_next() || (behaviour_.stall_after && answers_ >= *behaviour_.stall_after)) return;
    out.push_back({reply, {}});
    ++answers_;
  }
}

std::optional<BootTime> SigningDesk::deadline() const {
  if (dies_next()) return clock_->boot();
  std::optional<BootTime> first;
  for (const Job& job : working_) first = std::min(first.value_or(job.due), job.due);
  return first;
}

}  // namespace cs::standin
