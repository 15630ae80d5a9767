// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/scratch.h"

#include <sys/mount.h>
#include <unistd.h>

namespace cs::test {

Result<Scratch> Scratch::create() {
  const UniqueFd tmpfs(fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!tmpfs) return from_errno(errno, "opening a tmpfs").with_hint("run as root");
  if (fsconfig(tmpfs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return from_errno(errno, "making a tmpfs");
  }
  UniqueFd mount(fsmount(tmpfs.get(), FSMOUNT_CLOEXEC, 0));
  if (!mount) return from_errno(errno, "making a tmpfs reachable");
  return Scratch(std::move(mount));
}

std::string Scratch::file(const std::string& name) const {
  return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(mount_.get()) + "/" + name;
}

}  // namespace cs::test
