// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/seccomp_filter.h"

#include <seccomp.h>

#include <cerrno>
#include <memory>
#include <string>

namespace cs {

namespace {

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint32_t end_the_process = SCMP_ACT_LOG;  // their runtimes use what they like
#else
constexpr std::uint32_t end_the_process = SCMP_ACT_KILL_PROCESS;
#endif

}  // namespace

Result<void> allow_system_calls(std::span<const char* const> names, OtherCalls others) {
  const std::uint32_t otherwise =
      others == OtherCalls::kill ? end_the_process : SCMP_ACT_ERRNO(EPERM);
  const std::unique_ptr<void, Release> filter(seccomp_init(otherwise));
  if (!filter) return Error(ErrorKind::limit, "making a seccomp filter");
  // All threads, or none.
  if (const int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); error != 0)
    return from_errno(-error, "making a seccomp filter for all threads");
  for (const char* const name : names) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) continue;
    if (const int error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0); error != 0)
      return from_errno(-error, std::string("allowing ") + name);
  }
  if (const int error = seccomp_load(filter.get()); error != 0)
    return from_errno(-error, "loading the seccomp filter");
  return {};
}

}  // namespace cs
