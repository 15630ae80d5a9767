// SPDX-License-Identifier: GPL-3.0-or-later
// Commands for tests, with time limits and without leftovers.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cs::test {

struct Outcome {
  int exit_code = 0;  // 128 + the signal's number if one ended it; 127 if it could not be started
  bool timed_out = false;  // then it was killed
  std::string output;      // standard output and standard error as they came
};

// A running command. It is the init of a PID namespace of its own, so that whatever it leaves
// behind dies with it; it dies when the Process goes out of scope, and when the thread that
// started it ends for whatever reason. What it prints is kept in memory, never in a file.
// As an init it ignores SIGTERM and SIGINT unless it handles them.
class Process {
 public:
  struct Options {
    std::vector<std::string> argv;  // argv[0] is looked up in PATH
    std::string input = {};         // its standard input
    int netns = -1;                 // network namespace to enter; -1: ours
  };

  // Fails without CAP_SYS_ADMIN. A program that does not exist shows as exit code 127.
  static Result<Process> start(const Options& options);

  Process(Process&&) = default;
  Process& operator=(Process&&) = delete;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  // Waits for its end, at most `limit`, then kills it. Only once.
  Result<Outcome> wait(std::chrono::milliseconds limit);

  Result<void> signal(int number) const;

 private:
  Process(UniqueFd pidfd, UniqueFd output) : pidfd_(std::move(pidfd)), output_(std::move(output)) {}
  Result<int> reap();

  UniqueFd pidfd_;
  UniqueFd output_;
};

// start() and wait() in one.
Result<Outcome> run(const Process::Options& options,
                    std::chrono::milliseconds limit = std::chrono::seconds(10));

}  // namespace cs::test
