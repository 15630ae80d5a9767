// SPDX-License-Identifier: GPL-3.0-or-later
// cs-standin-keymsd: test equipment. The signals and the event loop around the Server; --help says
// all.
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/standin/options.h"
#include "tests/standin/scenario.h"
#include "tests/standin/server.h"

namespace cs::standin {
namespace {

void complain(const Error& error) {
  std::fprintf(stderr, "cs-standin-keymsd: %s\n", error.message().c_str());
}

Result<UniqueFd> take_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return from_errno(errno, "blocking signals");
  UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return from_errno(errno, "making a signalfd");
  return fd;
}

// True: it was a signal to end.
bool handle_signals(const UniqueFd& signals, const Options& options, Server& server) {
  signalfd_siginfo info{};
  while (::read(signals.get(), &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo != SIGHUP) return true;
    auto scenario = read_scenario(options.scenario);
    if (scenario.ok()) {
      server.change(std::move(scenario).value());
    } else {
      complain(scenario.error());
    }
  }
  return false;
}

// Finer than poll's milliseconds, so that a latency is what it says.
int wait(std::array<pollfd, 3>& fds, const Clock& clock, std::optional<BootTime> until) {
  if (!until) return ::ppoll(fds.data(), fds.size(), nullptr, nullptr);
  const auto left = std::max(*until - clock.boot(), std::chrono::nanoseconds(0));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
  const timespec limit{seconds.count(), (left - seconds).count()};
  return ::ppoll(fds.data(), fds.size(), &limit, nullptr);
}

Result<void> run(const Options& options) {
  const SystemClock clock;
  CS_TRY(const UniqueFd signals, take_signals());
  CS_TRY(Scenario scenario, read_scenario(options.scenario));
  CS_TRY(auto listener, keyms::SignerListener::open(clock, options.socket, options.uid));
  Server server(clock, std::move(listener), std::move(scenario), options.behaviour);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    std::array<pollfd, 3> fds{pollfd{signals.get(), POLLIN, 0},
                              pollfd{server.listener_fd(), POLLIN, 0},
                              pollfd{server.connection_fd(), server.events(), 0}};
    if (wait(fds, clock, server.deadline()) < 0 && errno != EINTR)
      return from_errno(errno, "waiting for messages");
    if (handle_signals(signals, options, server)) return {};
    server.turn();
  }
}

}  // namespace
}  // namespace cs::standin

int main(int argc, char** argv) try {
  const auto options = cs::standin::read_options(argc, argv);
  if (const int* code = std::get_if<int>(&options)) return *code;
  const auto done = cs::standin::run(std::get<cs::standin::Options>(options));
  if (done.ok()) return 0;
  cs::standin::complain(done.error());
  return 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "cs-standin-keymsd: %s\n", error.what());
  return 1;
}
