// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace cs::test {

// Runs f() in a child that is killed before its n-th system call; false: it ended before, with
// success. For every point at which a process can be killed, as others see it.
template <class F>
bool killed_before(int n, const F& f) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    static_cast<void>(raise(SIGSTOP));
    f();
    _exit(0);
  }
  int status = 0;
  for (int stop = 0; waitpid(child, &status, 0) == child && WIFSTOPPED(status); ++stop) {
    // Each call stops twice, and the first stop of all is raise()'s.
    if (stop == 2 * n + 1) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return true;
    }
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return false;
}

}  // namespace cs::test
