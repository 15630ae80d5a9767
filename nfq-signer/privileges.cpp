// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/privileges.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/user.h"
#include "keyms/seccomp_filter.h"

namespace cs {

namespace {

constexpr std::array allowed{
    // queues, keymsd, the control socket, sd_notify
    "recvmmsg", "recvmsg", "recvfrom", "sendto", "sendmsg", "poll", "ppoll", "accept4", "socket",
    "connect", "bind", "getsockopt", "setsockopt", "getsockname", "read", "write", "close",
    "eventfd2", "getpid", "getuid", "geteuid", "getgid", "getegid",
    // looking for offloads; the memory of routes
    "newfstatat", "ioctl", "openat", "fstat", "fsync", "rename", "unlink",
    // memory, of keys too; clocks, where the kernel has to be asked; randomness
    "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "mlock", "mlock2", "munlock",
    "clock_gettime", "gettimeofday", "getrandom",
    // threads: waiting, their first steps, being stopped and continued, their end
    "futex", "rseq", "set_robust_list", "prctl", "sched_setaffinity", "sched_getaffinity",
    "rt_sigprocmask", "rt_sigreturn", "restart_syscall", "exit", "exit_group",
    // ending by an assertion, with its words
    "writev", "rt_sigaction", "gettid", "tgkill"};

Result<void> become(const std::string& user) {
  auto found = find_user(user);
  if (!found.ok()) return std::move(found).error().context("becoming another user");
  capng_clear(CAPNG_SELECT_BOTH);
  capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
               CAP_NET_ADMIN);
  const int done =
      capng_change_id(static_cast<int>(found->id), static_cast<int>(found->group),
                      static_cast<capng_flags_t>(CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING));
  if (done != 0) {
    return Error(ErrorKind::denied,
                 "becoming user " + user + " (libcap-ng says " + std::to_string(done) + ")")
        .with_hint("run as root");
  }
  return {};
}

Result<void> check_capabilities() {
  if (::geteuid() == 0) {
    return Error(ErrorKind::denied, "running as root")
        .with_hint("start it by its systemd unit, or with --user nfq-signer");
  }
  capng_clear(CAPNG_SELECT_BOTH);
  if (capng_get_caps_process() != 0) return from_errno(errno, "asking for our own capabilities");
  std::string too_many;
  for (unsigned capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    const bool has = capng_have_capability(CAPNG_EFFECTIVE, capability) != 0 ||
                     capng_have_capability(CAPNG_PERMITTED, capability) != 0;
    if (has && capability != CAP_NET_ADMIN)
      too_many += std::string(" ") + capng_capability_to_name(capability);
  }
  if (!too_many.empty()) {
    return Error(ErrorKind::denied, "running with more than CAP_NET_ADMIN:" + too_many)
        .with_hint("take them away: CapabilityBoundingSet=CAP_NET_ADMIN in the systemd unit");
  }
  if (capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) == 0) {
    return Error(ErrorKind::denied, "running without CAP_NET_ADMIN")
        .with_hint(
            "AmbientCapabilities=CAP_NET_ADMIN in the systemd unit, or --user nfq-signer as root");
  }
  return {};
}

}  // namespace

Result<void> keep_net_admin_alone(const std::string& user) {
  if (!user.empty()) CS_CHECK(become(user));
  CS_CHECK(check_capabilities());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return from_errno(errno, "setting no_new_privs");
  return {};
}

Result<void> lock_memory() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return from_errno(errno, "forbidding core dumps");
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    return from_errno(errno, "keeping memory out of swap (mlockall)")
        .with_hint(
            "raise RLIMIT_MEMLOCK: LimitMEMLOCK=infinity in the systemd unit, ulimit -l in a "
            "shell");
  }
  return {};
}

Result<void> filter_system_calls() {
  // Now, while its configuration can still be read; later is when the first key comes.
  if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, nullptr) != 1)
    return Error(ErrorKind::internal, "starting OpenSSL");
  return allow_system_calls(allowed);
}

}  // namespace cs
