// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/worker.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace cs::keyms::carrier {

namespace {

// What the configuration leaves free for channels.
constexpr std::size_t reserve = 16;

// In the child of a process that may have other threads: system calls only.
[[noreturn]] void become_worker(int socket, char* const* argv) {
  constexpr int failed = 127;
  if (::dup2(socket, worker_descriptor) < 0) ::_exit(failed);
  // dup2() of a descriptor onto itself leaves it to be closed by exec.
  if (::fcntl(worker_descriptor, F_SETFD, 0) < 0) ::_exit(failed);
  if (::close_range(worker_descriptor + 1, ~0U, 0) < 0) ::_exit(failed);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing < 0 || ::dup2(nothing, STDIN_FILENO) < 0 || ::close(nothing) < 0) ::_exit(failed);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  std::array<char*, 1> no_environment{nullptr};
  ::execve(argv[0], argv, no_environment.data());
  ::_exit(failed);
}

struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};
Result<SocketPair> socket_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) != 0)
    return from_errno(errno, "making the network worker's socket");
  return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

}  // namespace

Result<CarrierWorker> CarrierWorker::create(const Clock& clock, Options options) {
  if (::access(options.program.c_str(), X_OK) != 0)
    return from_errno(errno, "looking for the network worker at " + options.program);
  return CarrierWorker(clock, std::move(options));
}

CarrierWorker::~CarrierWorker() {
  reap();
}

std::optional<BootTime> CarrierWorker::deadline() const noexcept {
  if (!connection_) return next_try_;
  const BootTime silent = heard_ + silent_for;
  return std::min(connection_->deadline().value_or(silent), silent);
}

Result<void> CarrierWorker::start() {
  CS_TRY(SocketPair sockets, socket_pair());
  std::vector<std::string> words{options_.program};
  if (!options_.user.empty()) words.insert(words.end(), {"--user", options_.user});
  words.insert(words.end(), options_.arguments.begin(), options_.arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  CS_TRY(auto connection,
         ServiceConnection::create(*clock_, std::move(sockets.ours), Other::worker));
  const pid_t pid = ::fork();
  if (pid < 0) return from_errno(errno, "starting the network worker");
  if (pid == 0) become_worker(sockets.theirs.get(), argv.data());
  pid_ = pid;
  connection_ = std::move(connection);
  started_ = heard_ = clock_->boot();
  return {};
}

std::string CarrierWorker::reap() noexcept {
  if (pid_ < 0) return "it did not run";
  connection_.reset();
  ::kill(pid_, SIGKILL);  // it is our child, and not waited for yet: the number is still its own
  int status = 0;
  pid_t done = -1;
  do done = ::waitpid(pid_, &status, 0);
  while (done < 0 && errno == EINTR);
  pid_ = -1;
  if (done < 0) return "nobody knows how it ended";
  if (WIFEXITED(status)) return "it ended with exit code " + std::to_string(WEXITSTATUS(status));
  const char* name = ::sigabbrev_np(WTERMSIG(status));
  return "it was ended by SIG" + std::string(name == nullptr ? "?" : name);
}

Error CarrierWorker::ended(const Error& why) {
  // A worker that closes its socket is ending by itself: its own end says more than our signal.
  if (why.kind() == ErrorKind::closed && pid_ >= 0) {
    constexpr int patience_ms = 100;
    siginfo_t info{};
    for (int i = 0; i < patience_ms; ++i) {
      if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
          info.si_pid != 0) {
        break;
      }
      ::usleep(1000);
    }
  }
  if (clock_->boot() - started_ >= steady_after) delay_ = first_delay;
  const std::string end = reap();
  fed_ = 0;
  next_try_ = clock_->boot() + delay_;
  delay_ = std::min(2 * delay_, last_delay);
  return Error(why.kind(), "the network worker: " + why.message() + ": " + end)
      .with_retry(Retry::anew)
      .with_hint("its own lines are in the journal; it is started anew");
}

Result<void> CarrierWorker::kept(Result<void> result) {
  if (result.ok() || fd() >= 0) return result;
  return ended(result.error());
}

Result<void> CarrierWorker::tick() {
  if (connection_) {
    if (clock_->boot() < heard_ + silent_for) return kept(connection_->tick());
    return ended({ErrorKind::timed_out,
                  "nothing was heard of it for " + std::to_string(silent_for.count()) + " s"});
  }
  if (clock_->boot() < next_try_) return {};
  Result<void> started = start();
  if (started.ok()) return {};
  return ended(started.error());
}

Result<std::optional<FromCarrier>> CarrierWorker::receive() {
  if (!connection_) return std::nullopt;
  auto message = connection_->receive();
  if (!message.ok()) return ended(message.error());
  if (*message) heard_ = clock_->boot();
  CS_CHECK(feed());
  return message;
}

Result<void> CarrierWorker::flush() {
  if (!connection_) return {};
  CS_CHECK(kept(connection_->flush()));
  return feed();
}

bool CarrierWorker::takes_configuration() const noexcept {
  return fed_ == 0 || !configuration_ ||
         fed_ >= configuration_->peers.size() + configuration_->listeners.size() + 2;
}

Result<void> CarrierWorker::configure(WorkerConfiguration configuration) {
  if (!takes_configuration()) {
    return Error(ErrorKind::busy, "the network worker has not taken its last configuration yet")
        .with_retry(Retry::after_delay);
  }
  configuration_ = std::move(configuration);
  fed_ = 0;
  return feed();
}

Result<void> CarrierWorker::feed() {
  if (!agreed() || !configuration_) return {};
  const std::size_t steps = configuration_->peers.size() + configuration_->listeners.size() + 2;
  while (fed_ < steps && room() > reserve) {
    CS_CHECK(kept(feed_one(fed_)));
    ++fed_;
  }
  return {};
}

Result<void> CarrierWorker::feed_one(std::size_t step) {
  const WorkerConfiguration& all = *configuration_;
  if (step == 0) return connection_->send(all.endpoint);
  --step;
  if (step < all.peers.size()) return connection_->send(all.peers[step]);
  step -= all.peers.size();
  if (step >= all.listeners.size()) return connection_->send(Configured{});
  UniqueFd copy(::fcntl(all.listeners[step].get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return from_errno(errno, "copying a listening socket for the network worker");
  return connection_->send(Listener{}, std::move(copy));
}

Result<void> CarrierWorker::dial(const Dial& dial, UniqueFd socket) {
  if (!connection_) return Error(ErrorKind::closed, "the network worker does not run");
  return kept(connection_->send(dial, std::move(socket)));
}

}  // namespace cs::keyms::carrier
