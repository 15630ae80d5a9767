// SPDX-License-Identifier: GPL-3.0-or-later
// cs-standin-keymsd: test equipment. The signals and the event loop around the Server; --help says
// all.
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
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

class Signals final : public keyms::LoopPart {
 public:
  Signals(UniqueFd fd, const Options& options, Server& server)
      : fd_(std::move(fd)), options_(&options), server_(&server) {}
  [[nodiscard]] bool end() const noexcept { return end_; }

  void wait(keyms::Waits& waits) const override { waits.on(fd_.get()); }
  Result<void> run() override {
    signalfd_siginfo info{};
    while (::read(fd_.get(), &info, sizeof(info)) == sizeof(info)) {
      end_ = end_ || info.ssi_signo != SIGHUP;
      if (end_) continue;
      auto scenario = read_scenario(options_->scenario);
      if (scenario.ok()) {
        server_->change(std::move(scenario).value());
      } else {
        complain(scenario.error());
      }
    }
    return {};
  }

 private:
  UniqueFd fd_;
  const Options* options_;
  Server* server_;
  bool end_ = false;
};

Result<void> run(const Options& options) {
  const SystemClock clock;
  CS_TRY(UniqueFd signalled, take_signals());
  CS_TRY(Scenario scenario, read_scenario(options.scenario));
  CS_TRY(auto listener, keyms::SignerListener::open(clock, options.socket, options.uid));
  Server server(clock, std::move(listener), options.behaviour);
  server.change(std::move(scenario));
  Signals signals(std::move(signalled), options, server);
  keyms::Loop loop(clock);
  loop.add(signals);
  loop.add(server);
  std::puts("ready");
  std::fflush(stdout);
  while (!signals.end()) CS_CHECK(loop.turn());
  return {};
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
