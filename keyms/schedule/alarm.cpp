// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/schedule/alarm.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace cs::keyms {

namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

Result<UniqueFd> timer(int clock) {
  UniqueFd fd(::timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC));
  if (fd) return fd;
  return from_errno(errno, "making a timer");
}

// Zero would stop the timer, so what has been is the clock's first moment. False: it is set, but
// the clock was too since this was last asked, and the kernel tells so only once.
Result<bool> arm(const UniqueFd& timer, nanoseconds since, int flags) {
  const nanoseconds when = std::max(since, nanoseconds(1));
  itimerspec spec{};
  spec.it_value.tv_sec = std::chrono::floor<seconds>(when).count();
  spec.it_value.tv_nsec = (when % seconds(1)).count();
  if (::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME | flags, &spec, nullptr) == 0) return true;
  if (errno == ECANCELED) return false;
  return from_errno(errno, "setting a timer");
}

}  // namespace

Result<Alarm> Alarm::open() {
  Alarm alarm;
  CS_TRY(alarm.wall_, timer(CLOCK_REALTIME));
  CS_TRY(alarm.boot_, timer(CLOCK_BOOTTIME));
  alarm.both_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!alarm.both_) return from_errno(errno, "making an alarm");
  for (const UniqueFd* fd : {&alarm.wall_, &alarm.boot_}) {
    epoll_event readable{};
    readable.events = EPOLLIN;
    if (::epoll_ctl(alarm.both_.get(), EPOLL_CTL_ADD, fd->get(), &readable) != 0) {
      return from_errno(errno, "making an alarm");
    }
  }
  CS_CHECK(alarm.set({}));
  return alarm;
}

// The wall timer is always set: only then is told that the clock was.
Result<void> Alarm::set(const Moment& moment) {
  CS_TRY(const bool as_asked, arm(wall_, moment.wall.time_since_epoch(), TFD_TIMER_CANCEL_ON_SET));
  const nanoseconds boot = as_asked ? moment.boot.time_since_epoch() : nanoseconds();
  CS_CHECK(arm(boot_, boot, 0));
  return {};
}

void Alarm::clear() noexcept {
  std::uint64_t count = 0;
  for (const UniqueFd* fd : {&wall_, &boot_}) {
    [[maybe_unused]] const auto ignored = ::read(fd->get(), &count, sizeof(count));
  }
}

}  // namespace cs::keyms
