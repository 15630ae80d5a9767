// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/gate/holder.h"

#include <algorithm>

namespace cs::xfrm {
namespace {

constexpr std::size_t at_once = 64;  // packets of one receive

}  // namespace

Result<Holder> Holder::open(const Options& options, const Clock& clock) {
  // The kernel keeps no more than this either, so that it drops what nobody has asked for.
  const auto length = static_cast<std::uint32_t>(options.most + at_once);
  CS_TRY(Queue queue, Queue::open({.number = options.queue,
                                   .length = length,
                                   .receive_buffer = std::size_t{1} << 20U,
                                   .slots = at_once}));
  return Holder(std::move(queue), options, clock);
}

BootTime Holder::deadline() const noexcept {
  return waiting_.empty() ? BootTime::max() : waiting_.front().since + options_.longest;
}

Result<void> Holder::run() {
  CS_CHECK(take());
  const BootTime now = clock_->boot();
  while (!waiting_.empty() && now - waiting_.front().since >= options_.longest) {
    CS_CHECK(drop_oldest(counters_.expired));
  }
  return queue_.flush();
}

// The kernel keeps the packet: only its name is needed here.
Result<void> Holder::take() {
  const BootTime now = clock_->boot();
  // No more than fit: a flood must not keep the caller here.
  for (std::size_t taken = 0; taken < options_.most + at_once; taken += received_.size()) {
    received_.clear();
    CS_CHECK(queue_.receive(at_once, received_));
    for (const Queue::Held& held : received_) {
      ++counters_.held;
      const auto sa = sa_of(held.packet.payload);
      queue_.release(held);
      if (!sa) {
        ++counters_.nameless;
        CS_CHECK(queue_.drop(held.packet.id));
        continue;
      }
      if (waiting_.size() == options_.most) CS_CHECK(drop_oldest(counters_.pushed_out));
      waiting_.push_back({held.packet.id, *sa, now});
    }
    CS_CHECK(queue_.flush());
    if (received_.size() < at_once) break;
  }
  return {};
}

Result<void> Holder::drop_oldest(std::uint64_t& counter) {
  ++counter;
  const std::uint32_t id = waiting_.front().id;
  waiting_.pop_front();
  return queue_.drop(id);
}

Result<void> Holder::admitted(const Passage& passage) {
  CS_CHECK(take());  // what came before it was admitted
  const SaName sa{passage.destination, passage.protocol, passage.spi};
  std::deque<Waiting> others;
  for (const Waiting& one : waiting_) {
    if (!(one.sa == sa)) {
      others.push_back(one);
      continue;
    }
    ++counters_.released;
    CS_CHECK(queue_.accept(one.id, std::nullopt));
  }
  waiting_ = std::move(others);
  return queue_.flush();
}

std::vector<SaName> Holder::waiting() const {
  std::vector<SaName> names;
  for (const Waiting& one : waiting_) {
    if (std::ranges::find(names, one.sa) == names.end()) names.push_back(one.sa);
  }
  return names;
}

}  // namespace cs::xfrm
