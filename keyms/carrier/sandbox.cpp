// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/sandbox.h"

#include <cap-ng.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "base/clock.h"
#include "base/user.h"
#include "keyms/carrier/tls_context.h"
#include "keyms/seccomp_filter.h"

namespace cs::keyms::carrier {

namespace {

constexpr std::array allowed{
    // what it has been given: keymsd's socket, listening and connected ones; stderr
    "recvmsg", "sendmsg", "recvfrom", "sendto", "read", "write", "writev", "accept4", "close",
    "getsockopt", "epoll_create1", "epoll_wait", "epoll_pwait", "epoll_ctl", "poll", "ppoll",
    // memory, of keys too; clocks, where the kernel has to be asked; randomness
    "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "mlock", "mlock2", "munlock",
    "clock_gettime", "getrandom", "getpid", "futex",
    // its end, by an assertion too
    "rt_sigprocmask", "rt_sigreturn", "rt_sigaction", "restart_syscall", "gettid", "tgkill", "exit",
    "exit_group"};

Result<void> become(const std::string& user) {
  auto found = find_user(user);
  if (!found.ok()) return std::move(found).error().context("becoming another user");
  capng_clear(CAPNG_SELECT_BOTH);
  const int flags = CAPNG_DROP_SUPP_GRP | (::geteuid() == 0 ? CAPNG_CLEAR_BOUNDING : 0);
  const int done = capng_change_id(static_cast<int>(found->id), static_cast<int>(found->group),
                                   static_cast<capng_flags_t>(flags));
  if (done == 0) return {};
  return Error(ErrorKind::denied,
               "becoming user " + user + " (libcap-ng says " + std::to_string(done) + ")")
      .with_hint("give keymsd CAP_SETUID and CAP_SETGID (AmbientCapabilities= of its unit)");
}

Result<void> give_up_capabilities() {
  if (::geteuid() == 0 || ::getuid() == 0) {
    return Error(ErrorKind::denied, "running as root").with_hint("name a user of its own: --user");
  }
  capng_clear(CAPNG_SELECT_BOTH);
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return from_errno(errno, "giving up capabilities");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return from_errno(errno, "giving up ambient capabilities");
  if (capng_get_caps_process() != 0) return from_errno(errno, "asking for our own capabilities");
  if (capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
    return Error(ErrorKind::denied, "capabilities are left after all were given up");
  return {};
}

Result<void> limit(int resource, rlim_t most, const std::string& what) {
  const rlimit both{most, most};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &both) != 0)
    return from_errno(errno, "limiting " + what);
  return {};
}

Result<void> limit_resources() {
  constexpr rlim_t descriptors = 1024;  // unproven connections, channels, listeners
  CS_CHECK(limit(RLIMIT_NOFILE, descriptors, "descriptors"));
  CS_CHECK(limit(RLIMIT_CORE, 0, "core dumps"));
  CS_CHECK(limit(RLIMIT_NPROC, 0, "processes"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Some hundred channels with a full queue each.
  constexpr rlim_t memory = rlim_t{256} * 1024 * 1024;
  CS_CHECK(limit(RLIMIT_DATA, memory, "memory"));
#endif
  return {};
}

}  // namespace

Result<void> drop_privileges(const std::string& user) {
  const pid_t parent = ::getppid();
  if (!user.empty()) CS_CHECK(become(user));
  CS_CHECK(give_up_capabilities());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return from_errno(errno, "setting no_new_privs");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return from_errno(errno, "forbidding core dumps");
  // After the change of user, which clears it.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
    return from_errno(errno, "arranging to end with keymsd");
  if (::getppid() != parent) return Error(ErrorKind::closed, "keymsd has gone");
  return limit_resources();
}

// A connection with ourselves would do as well; this makes all that the first one would.
Result<void> prepare_openssl() {
  constexpr std::size_t secure_heap = 65536;
  constexpr std::size_t smallest = 32;
  if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, nullptr) != 1)
    return openssl_error(ErrorKind::internal, "starting OpenSSL");
  if (CRYPTO_secure_malloc_init(secure_heap, smallest) != 1) {
    return openssl_error(ErrorKind::limit, "locking memory for keys")
        .with_hint("raise it: LimitMEMLOCK= in keymsd's unit, ulimit -l in a shell");
  }
  const SystemClock clock;
  CS_TRY(const OwnEndpoint endpoint,
         make_endpoint("warm-up", {clock.wall(), clock.wall() + std::chrono::hours(1)}));
  CS_TRY(const TlsContext context, TlsContext::create(endpoint));
  Refusal why = Refusal::tls;
  CS_CHECK([&]() -> Result<void> {
    CS_TRY(const Tls tls, context.start(-1, true, why));
    return {};
  }());
  return {};
}

std::span<const char* const> allowed_system_calls() {
  return allowed;
}

Result<void> filter_system_calls() {
  return allow_system_calls(allowed);
}

}  // namespace cs::keyms::carrier
