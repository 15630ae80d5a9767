// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/own_tpm.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace cs::bench {

namespace {

constexpr std::chrono::seconds start_limit{10};
constexpr int not_there = 127;

// Dies with the thread that starts it.
Result<pid_t> start_program(std::vector<std::string> words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return from_errno(errno, "starting " + words.front());
  if (child > 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2; ++fd) ::dup2(nowhere, fd);  // it has a line for each command
  ::execvp(argv.front(), argv.data());
  ::_exit(errno == ENOENT ? not_there : 1);
}

bool listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(path.substr(0, sizeof(address.sun_path) - 1), &address.sun_path[0]);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

// libtss2's TCTI takes for granted that the control socket of PATH is PATH.ctrl.
Result<OwnTpm> OwnTpm::start() {
  std::string directory = "/tmp/countersign-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return from_errno(errno, "making a directory");
  OwnTpm made(std::move(directory));
  CS_TRY(made.process_,
         start_program({"swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + made.directory_,
                        "--server", "type=unixio,path=" + made.file("tpm"), "--ctrl",
                        "type=unixio,path=" + made.file("tpm.ctrl"), "--flags",
                        "not-need-init,startup-clear"}));
  CS_CHECK(made.await_start());
  return made;
}

Result<void> OwnTpm::await_start() {
  const auto limit = std::chrono::steady_clock::now() + start_limit;
  while (!listens(file("tpm"))) {
    int status = 0;
    const bool ended = ::waitpid(process_, &status, WNOHANG) == process_;
    if (ended) process_ = 0;
    if (ended && WIFEXITED(status) && WEXITSTATUS(status) == not_there) {
      return Error(ErrorKind::not_found, "there is no program swtpm")
          .with_hint("install the package swtpm");
    }
    if (ended || std::chrono::steady_clock::now() > limit) {
      return Error(ErrorKind::io, "swtpm does not start");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return {};
}

OwnTpm::~OwnTpm() {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

}  // namespace cs::bench
