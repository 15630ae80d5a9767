// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

namespace cs::test {
namespace {

constexpr int kNotStarted = 127;

struct Child {
  std::vector<char*> argv;
  int input;
  int output;
  int netns;
};

void say(const char* text) {
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) _exit(kNotStarted);
}

[[noreturn]] void fail(const char* tried) {
  const char* why = strerrordesc_np(errno);
  say(tried);
  say(": ");
  say(why != nullptr ? why : "unknown error");
  say("\n");
  _exit(kNotStarted);
}

// Between clone and exec in a process that may have had threads: system calls only, no allocation.
[[noreturn]] void become(const Child& child) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();  // else its `kill 0` would reach us: a process group is not bounded by a PID namespace
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(child.input, STDIN_FILENO);
  dup2(child.output, STDOUT_FILENO);
  dup2(child.output, STDERR_FILENO);
  if (child.netns >= 0 && setns(child.netns, CLONE_NEWNET) != 0) fail("entering the namespace");
  execvp(child.argv[0], child.argv.data());
  fail(child.argv[0]);
}

// fork() with a PID namespace and a pidfd, which the C library has no call for.
long fork_init(int* pidfd) {
  return syscall(SYS_clone, CLONE_NEWPID | CLONE_PIDFD | SIGCHLD, nullptr, pidfd, nullptr, nullptr);
}

// As a system call, because glibc 2.36 declares its own with the wrong linkage for C++.
long send_signal(int pidfd, int number) {
  return syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0);
}

Result<UniqueFd> memory_file(const std::string& content) {
  UniqueFd file(memfd_create("cs-test", MFD_CLOEXEC));
  if (!file) return from_errno(errno, "making a file in memory");
  const ssize_t written = pwrite(file.get(), content.data(), content.size(), 0);
  if (written != static_cast<ssize_t>(content.size())) {
    return from_errno(errno, "writing to a file in memory");
  }
  return file;
}

std::string read_all(int file) {
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t size = pread(file, part.data(), part.size(), static_cast<off_t>(text.size()));
    if (size <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
}

}  // namespace

Result<Process> Process::start(const Options& options) {
  CS_TRY(const UniqueFd input, memory_file(options.input));
  CS_TRY(UniqueFd output, memory_file(""));
  std::vector<std::string> words = options.argv;
  Child child{{}, input.get(), output.get(), options.netns};
  for (std::string& word : words) child.argv.push_back(word.data());
  child.argv.push_back(nullptr);
  int pidfd = -1;
  const long pid = fork_init(&pidfd);
  if (pid < 0) return from_errno(errno, "starting " + words.front()).with_hint("run as root");
  if (pid == 0) become(child);
  return Process(UniqueFd(pidfd), std::move(output));
}

Process::~Process() {
  if (!pidfd_) return;
  send_signal(pidfd_.get(), SIGKILL);
  static_cast<void>(reap());
}

Result<Outcome> Process::wait(std::chrono::milliseconds limit) {
  if (!pidfd_) return Error(ErrorKind::internal, "waiting for a command a second time");
  const auto deadline = std::chrono::steady_clock::now() + limit;
  pollfd ended{pidfd_.get(), POLLIN, 0};
  int ready = -1;
  do {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    ready = poll(&ended, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
  } while (ready < 0 && errno == EINTR);
  Outcome outcome;
  outcome.timed_out = ready == 0;
  if (ready <= 0) send_signal(pidfd_.get(), SIGKILL);
  CS_TRY(outcome.exit_code, reap());
  outcome.output = read_all(output_.get());
  return outcome;
}

Result<void> Process::signal(int number) const {
  if (send_signal(pidfd_.get(), number) != 0) {
    return from_errno(errno, "sending signal " + std::to_string(number));
  }
  return {};
}

Result<int> Process::reap() {
  siginfo_t info{};
  int done = -1;
  do {
    done = waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
  } while (done < 0 && errno == EINTR);
  if (done < 0) return from_errno(errno, "waiting for a command's end");
  pidfd_.reset();
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

Result<Outcome> run(const Process::Options& options, std::chrono::milliseconds limit) {
  CS_TRY(Process process, Process::start(options));
  return process.wait(limit);
}

}  // namespace cs::test
