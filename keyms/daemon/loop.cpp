// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/loop.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <span>

namespace cs::keyms {

Result<void> Loop::turn() {
  struct Share {
    std::size_t first;
    std::size_t count;
    BootTime until;
  };
  const BootTime latest = clock_->boot() + longest;
  std::vector<pollfd> polled;
  std::vector<Share> shares;
  BootTime until = latest;
  for (const LoopPart* part : parts_) {
    Waits waits(latest);
    part->wait(waits);
    shares.push_back({polled.size(), waits.fds_.size(), waits.until_});
    polled.insert(polled.end(), waits.fds_.begin(), waits.fds_.end());
    until = std::min(until, waits.until_);
  }
  const auto left = std::clamp<std::chrono::nanoseconds>(until - clock_->boot(),
                                                         std::chrono::nanoseconds(0), longest);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
  const timespec limit{seconds.count(), (left - seconds).count()};
  if (::ppoll(polled.data(), polled.size(), &limit, nullptr) < 0) {
    if (errno == EINTR) return {};
    return from_errno(errno, "waiting (poll)");
  }
  // A part that was added meanwhile has its first turn next.
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const auto own = std::span(polled).subspan(shares[i].first, shares[i].count);
    const bool ready = std::ranges::any_of(own, [](const pollfd& one) { return one.revents != 0; });
    if (ready || clock_->boot() >= shares[i].until) CS_CHECK(parts_[i]->run());
  }
  return {};
}

}  // namespace cs::keyms
