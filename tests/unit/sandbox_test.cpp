// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <set>
#include <string>

#include "keyms/seccomp_filter.h"

namespace cs::keyms::carrier {
namespace {

// What whoever takes the worker over would begin with.
constexpr std::array forbidden{"open",
                               "openat",
                               "openat2",
                               "creat",
                               "execve",
                               "execveat",
                               "fork",
                               "vfork",
                               "clone",
                               "clone3",
                               "socket",
                               "socketpair",
                               "connect",
                               "bind",
                               "listen",
                               "ptrace",
                               "kill",
                               "setuid",
                               "process_vm_readv",
                               "process_vm_writev",
                               "unlink",
                               "rename",
                               "ioctl",
                               "prctl",
                               "pidfd_getfd",
                               "bpf",
                               "io_uring_setup",
                               "memfd_create",
                               "mount",
                               "unshare",
                               "setns",
                               "keyctl"};

TEST(Sandbox, TheListHasNothingThatReachesOut) {
  const auto list = allowed_system_calls();
  const std::set<std::string> allowed(list.begin(), list.end());
  EXPECT_EQ(allowed.size(), list.size()) << "one stands there twice";
  for (const char* name : forbidden) EXPECT_FALSE(allowed.contains(name)) << name;
}

// Exit code of a child that has the worker's filter, whose other calls fail instead of ending it.
int in_filter(const std::function<int()>& attempt) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    const bool shut = allow_system_calls(allowed_system_calls(), OtherCalls::fail).ok();
    ::_exit(shut ? attempt() : 99);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Sandbox, EachForbiddenCallFails) {
  const std::array numbers{SYS_openat,  SYS_execve,   SYS_clone,          SYS_socket,
                           SYS_connect, SYS_bind,     SYS_ptrace,         SYS_kill,
                           SYS_setuid,  SYS_unlinkat, SYS_io_uring_setup, SYS_memfd_create,
                           SYS_prctl,   SYS_ioctl,    SYS_pidfd_getfd};
  for (const long number : numbers) {
    EXPECT_EQ(in_filter([number] {
                errno = 0;
                return ::syscall(number, 0, 0, 0, 0, 0, 0) == -1 && errno == EPERM ? 0 : 1;
              }),
              0)
        << "system call " << number;
  }
  EXPECT_EQ(in_filter([] { return ::write(STDERR_FILENO, "", 0) == 0 ? 0 : 1; }), 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(Sandbox, InTheWorkerAForbiddenCallIsTheLast) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!filter_system_calls().ok()) ::_exit(99);
    static_cast<void>(::open("/dev/null", O_RDONLY));
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSYS);
}
#endif

TEST(Sandbox, RootAndUnknownUsersAreRefused) {
  EXPECT_EQ(drop_privileges("no-such-user").error().kind(), ErrorKind::not_found);
  if (::geteuid() == 0) {
    EXPECT_EQ(drop_privileges("").error().kind(), ErrorKind::denied);
  }
}

}  // namespace
}  // namespace cs::keyms::carrier
