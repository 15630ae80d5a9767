// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/panic.h"

namespace cs::bench {

namespace {

Result<UniqueFd> make_namespace() {
  if (::unshare(CLONE_NEWNET) != 0)
    return from_errno(errno, "making a network namespace").with_hint("run as root");
  UniqueFd fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!fd) return from_errno(errno, "opening /proc/thread-self/ns/net");
  return fd;
}

Result<std::string> read_all(int fd, const std::string& name) {
  std::string text;
  std::array<char, 4096> chunk{};
  for (;;) {
    const ssize_t size = ::read(fd, chunk.data(), chunk.size());
    if (size == 0) return text;
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return from_errno(errno, "reading " + name);
    text.append(chunk.data(), static_cast<std::size_t>(size));
  }
}

// A file without a name, so that neither side of it ever waits.
Result<UniqueFd> memory_file(const std::string& text) {
  UniqueFd fd(::memfd_create("nfq-bench", MFD_CLOEXEC));
  if (!fd) return from_errno(errno, "making a file in memory");
  if (::pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return from_errno(errno, "writing a file in memory");
  return fd;
}

// The exit code, 128 + the signal's number, or 127 if the program is not there.
Result<int> spawn_and_wait(const std::vector<std::string>& argv, int input, int output) {
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (const std::string& word : argv) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): posix_spawn changes nothing
    words.push_back(const_cast<char*>(word.c_str()));
  }
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return from_errno(error, "starting " + argv[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return from_errno(errno, "waiting for " + argv[0]);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<Netns> Netns::create() {
  CS_TRY(UniqueFd fd, std::async(std::launch::async, make_namespace).get());
  return Netns(std::move(fd));
}

std::string Netns::path() const {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_.get());
}

void Netns::enter() const {
  if (::setns(fd_.get(), CLONE_NEWNET) != 0) panic("a namespace we made cannot be entered");
}

Result<std::string> Netns::command(const std::vector<std::string>& argv,
                                   const std::string& input) const {
  CS_TRY(const UniqueFd in, memory_file(input));
  CS_TRY(const UniqueFd out, memory_file({}));
  CS_TRY(const int code, run([&] { return spawn_and_wait(argv, in.get(), out.get()); }));
  ::lseek(out.get(), 0, SEEK_SET);
  CS_TRY(std::string said, read_all(out.get(), "what " + argv[0] + " printed"));
  if (code == 0) return said;
  std::string line;
  for (const std::string& word : argv) line += word + " ";
  return Error(ErrorKind::io, line + "ended with exit code " + std::to_string(code) + ": " + said);
}

Result<std::string> Netns::read_file(const std::string& path) const {
  return run([&]() -> Result<std::string> {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return from_errno(errno, "opening " + path);
    return read_all(file.get(), path);
  });
}

Result<void> Netns::write_file(const std::string& path, const std::string& text) const {
  return run([&]() -> Result<void> {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return from_errno(errno, "opening " + path);
    if (::write(file.get(), text.data(), text.size()) < 0)
      return from_errno(errno, "writing " + path);
    return {};
  });
}

}  // namespace cs::bench
