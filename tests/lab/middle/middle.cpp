// SPDX-License-Identifier: GPL-3.0-or-later
// cs-middle: the queue, the sockets, the clock and the files around the Engine. --help says all.
//
//   rules of the lab -> NFQUEUE -> Engine --verdict--> on its way
//                                     '---- copies --> raw socket, mark 0x4d (not queued again)
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/lab/middle/engine.h"
#include "tests/lab/middle/options.h"
#include "tests/support/nfqueue.h"
#include "tests/support/sockets.h"

namespace cs::middle {
namespace {

constexpr std::uint32_t kOwnMark = 0x4d;

using Clock = std::chrono::steady_clock;

// Readable once SIGTERM or SIGINT has come.
Result<UniqueFd> take_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return from_errno(errno, "blocking signals");
  UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return from_errno(errno, "making a signalfd");
  return fd;
}

// A reader finds all of `text` there or nothing of it.
Result<void> write_whole(const std::string& path, const std::string& text) {
  if (path.empty()) return {};
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::trunc);
  file << text;
  file.close();
  if (!file) return from_errno(errno, "writing " + part);
  if (std::rename(part.c_str(), path.c_str()) != 0) return from_errno(errno, "writing " + path);
  return {};
}

std::string as_json(const Statistics& s) {
  std::ostringstream text;
  text << "{\"seen\": " << s.seen << ", \"acted\": " << s.acted
       << ", \"reinjected\": " << s.reinjected << ", \"malformed\": " << s.malformed
       << ", \"failed\": " << s.failed << "}\n";
  return text.str();
}

// Rounded up: waking too early would only mean another turn.
int milliseconds_until(std::optional<Engine::Time> deadline) {
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
  return static_cast<int>(std::max<std::int64_t>(left, 0));
}

// Until a signal comes.
Result<void> serve(test::NfQueue& queue, Engine& engine, const UniqueFd& signals) {
  std::array<pollfd, 2> fds{pollfd{signals.get(), POLLIN, 0}, pollfd{queue.fd(), POLLIN, 0}};
  for (;;) {
    const int ready = poll(fds.data(), fds.size(), milliseconds_until(engine.deadline()));
    if (ready < 0 && errno != EINTR) return from_errno(errno, "waiting for packets");
    if (ready > 0 && fds[0].revents != 0) return {};
    engine.tick(Clock::now());
    if (ready <= 0 || fds[1].revents == 0) continue;
    CS_CHECK(queue.receive([&engine](const test::QueuedPacket& packet) {
      engine.take(packet, Clock::now());
      return test::Verdict::hold();
    }));
  }
}

Result<void> run(const Options& options) {
  CS_TRY(const UniqueFd signals, take_signals());
  CS_TRY(test::NfQueue queue, test::NfQueue::open({.number = options.queue}));
  CS_TRY(const test::PacketSender sender, test::PacketSender::open(kOwnMark));
  Result<void> decided;
  Engine engine(options.plan, {[&](std::uint32_t id, const test::Verdict& verdict) {
                                 if (auto said = queue.decide(id, verdict); !said.ok())
                                   decided = std::move(said);
                               },
                               [&](ByteView packet) { return sender.send(packet).ok(); }});
  CS_CHECK(write_whole(options.ready_file, "ready\n"));
  const Result<void> served = serve(queue, engine, signals);
  engine.finish();
  const std::string statistics = as_json(engine.statistics());
  std::fputs(statistics.c_str(), stdout);
  CS_CHECK(write_whole(options.stats_file, statistics));
  CS_CHECK(served);
  return decided;
}

}  // namespace
}  // namespace cs::middle

int main(int argc, char** argv) {
  const auto options = cs::middle::read_options(argc, argv);
  if (const int* code = std::get_if<int>(&options)) return *code;
  const auto done = cs::middle::run(std::get<cs::middle::Options>(options));
  if (done.ok()) return 0;
  std::fprintf(stderr, "cs-middle: %s\n", done.error().message().c_str());
  return 1;
}
