// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/xfrm/watch.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ostream>

#include "base/unique_fd.h"
#include "tools/xfrm/watch_report.h"
#include "xfrm/watch/source.h"
#include "xfrm/watch/watcher.h"

namespace cs::xfrm {
namespace {

using inspect::Outcome;

Result<UniqueFd> take_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT}) sigaddset(&set, number);
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) {
    return Error(ErrorKind::internal, "blocking signals");
  }
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return from_errno(errno, "making a signalfd");
  return fd;
}

// True: a signal has come.
Result<bool> wait(int events, int signals, std::chrono::nanoseconds time) {
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(time).count();
  std::array<pollfd, 2> waits{pollfd{events, POLLIN, 0}, pollfd{signals, POLLIN, 0}};
  const int limit = static_cast<int>(std::clamp<std::int64_t>(milliseconds, 0, 60'000));
  if (::poll(waits.data(), waits.size(), limit) < 0 && errno != EINTR) {
    return from_errno(errno, "waiting for the kernel's events");
  }
  return waits[1].revents != 0;
}

WatchOptions watch_options(const WatchCommandOptions& options, WatchReport& report) {
  WatchOptions wanted;
  wanted.audit_interval = std::chrono::seconds(options.audit_seconds);
  wanted.grace = std::chrono::seconds(options.grace_seconds);
  if (!options.vici.empty()) {
    wanted.known = [socket = options.vici] { return ask_ike_daemon(socket); };
  }
  wanted.on_change = [&report](const Change& change) { report.change(change); };
  wanted.on_drift = [&report](const Difference& one, bool begun) { report.drift(one, begun); };
  return wanted;
}

Result<void> follow(const WatchCommandOptions& options, const Clock& clock, std::ostream& out) {
  CS_TRY(const UniqueFd signals, take_signals());
  WatchReport report(options.json, clock, out);
  CS_TRY(const auto source, KernelSource::open());
  CS_TRY(const auto watcher, Watcher::open(*source, clock, watch_options(options, report)));
  report.began(watcher->state());
  out.flush();
  // Nobody reads any more: the caller sees it too.
  while (out) {
    CS_TRY(const bool end, wait(source->fd(), signals.get(), watcher->deadline() - clock.boot()));
    if (end) break;
    CS_CHECK(watcher->run());
    out.flush();
  }
  report.ended(watcher->counters());
  return {};
}

}  // namespace

Outcome watch(const WatchCommandOptions& options, const Clock& clock, std::ostream& out,
              std::ostream& err) {
  const auto followed = follow(options, clock, out);
  if (followed.ok()) return Outcome::good;
  return inspect::fail(followed.error(), Outcome::unreadable, false, out, err);
}

}  // namespace cs::xfrm
