// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/command.h"

#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "base/unique_fd.h"

namespace cs {
namespace {

constexpr std::array<std::string_view, 4> directories{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"};

Result<std::string> find_program(const std::string& name) {
  for (const std::string_view directory : directories) {
    std::string path = std::string(directory) + name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return Error(ErrorKind::not_found, "there is no program " + name);
}

// In memory: a program that writes much cannot be stopped by us not reading it meanwhile.
Result<UniqueFd> memory_file(const std::string& content) {
  UniqueFd file(memfd_create("countersign", MFD_CLOEXEC));
  if (!file) return from_errno(errno, "making a file in memory");
  std::string_view left = content;
  while (!left.empty()) {
    const ssize_t written = write(file.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return from_errno(errno, "writing to a file in memory");
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  if (lseek(file.get(), 0, SEEK_SET) != 0) return from_errno(errno, "rewinding a file in memory");
  return file;
}

std::string read_all(int file) {
  std::string text;
  std::array<char, 4096> part{};
  while (text.size() < max_command_output) {
    const ssize_t size = pread(file, part.data(), part.size(), static_cast<off_t>(text.size()));
    if (size <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  return text;
}

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  FileActions(FileActions&&) = delete;
  FileActions& operator=(FileActions&&) = delete;
  void use(int fd, int as) { posix_spawn_file_actions_adddup2(&actions_, fd, as); }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

Result<pid_t> spawn(const std::string& path, std::vector<std::string>& argv,
                    const FileActions& files) {
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (std::string& word : argv) words.push_back(word.data());
  words.push_back(nullptr);
  std::string locale = "LC_ALL=C";
  std::string search = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  std::array<char*, 3> environment{locale.data(), search.data(), nullptr};
  pid_t pid = -1;
  const int failed =
      posix_spawn(&pid, path.c_str(), files.get(), nullptr, words.data(), environment.data());
  if (failed != 0) return from_errno(failed, "starting " + path);
  return pid;
}

// Its exit code, or timed_out and it is killed.
Result<int> await_end(pid_t pid, std::chrono::seconds limit, const std::string& name) {
  const UniqueFd ended(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const auto deadline = std::chrono::steady_clock::now() + limit;
  int ready = -1;
  while (ended) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waits{ended.get(), POLLIN, 0};
    ready = poll(&waits, 1, left.count() > 0 ? static_cast<int>(left.count()) : 0);
    if (ready >= 0 || errno != EINTR) break;
  }
  if (ready <= 0) kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return from_errno(errno, "waiting for the end of " + name);
  }
  if (ready <= 0) {
    return Error(ErrorKind::timed_out,
                 name + " did not end within " + std::to_string(limit.count()) + " s");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<CommandOutcome> run_command(std::vector<std::string> argv, const std::string& input,
                                   std::chrono::seconds limit) {
  const std::string name = argv.at(0);
  CS_TRY(const std::string path, find_program(name));
  CS_TRY(const UniqueFd in, memory_file(input));
  CS_TRY(const UniqueFd out, memory_file(""));
  CS_TRY(const UniqueFd err, memory_file(""));
  FileActions files;
  files.use(in.get(), STDIN_FILENO);
  files.use(out.get(), STDOUT_FILENO);
  files.use(err.get(), STDERR_FILENO);
  CS_TRY(const pid_t pid, spawn(path, argv, files));
  CS_TRY(const int exit_code, await_end(pid, limit, name));
  return CommandOutcome{exit_code, read_all(out.get()), read_all(err.get())};
}

Error refusal_of(const std::string& program, const std::string& words, std::string_view hint) {
  const auto says = [&](std::string_view what) { return words.find(what) != std::string::npos; };
  const std::string line = words.substr(0, words.find('\n'));
  const std::string why = program + " refuses: " + (line.empty() ? "it does not say why" : line);
  if (says("ermission denied") || says("not permitted")) {
    return Error(ErrorKind::denied, why).with_hint("run as root");
  }
  if (says("temporarily unavailable") || says("resource busy") || says("xtables lock")) {
    return Error(ErrorKind::busy, why).with_retry(Retry::after_delay);
  }
  return Error(ErrorKind::unsupported, why).with_hint(std::string(hint));
}

Result<std::string> run_or_refuse(const std::vector<std::string>& argv, const std::string& input,
                                  std::string_view hint) {
  Result<CommandOutcome> outcome = run_command(argv, input);
  if (!outcome.ok()) {
    if (outcome.error().kind() != ErrorKind::not_found) return std::move(outcome).error();
    return std::move(outcome).error().with_hint(
        "install it: apt-get install nftables iptables iproute2");
  }
  if (outcome->exit_code != 0) return refusal_of(argv.front(), outcome->errors, hint);
  if (outcome->output.size() >= max_command_output) {
    return Error(ErrorKind::limit, argv.front() + " says more than this program reads");
  }
  return std::move(outcome->output);
}

}  // namespace cs
