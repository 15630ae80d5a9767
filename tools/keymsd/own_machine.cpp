// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/keymsd/own_machine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/panic.h"
#include "base/unique_fd.h"
#include "base/user.h"
#include "tools/policy/load.h"

namespace cs::keymsd {

namespace fs = std::filesystem;

Result<void> check_stopped(const keyms::DaemonConfig& config) {
  Daemon daemon(config.control_socket);
  const auto there = daemon.ask("status");
  if (there.ok() || daemon.has_refused()) {
    return Error(ErrorKind::busy, "keymsd runs, and TPM and store are its own")
        .with_hint("stop it first: systemctl stop keymsd");
  }
  if (there.error().kind() != ErrorKind::not_found) return there.error();
  return {};
}

Result<OwnMachine> OwnMachine::open(const keyms::DaemonConfig& config, const Clock& clock) {
  CS_CHECK(check_stopped(config));
  tpm::DeviceOptions to;
  to.tcti = config.tcti;
  to.failures = config.failures();
  CS_TRY(tpm::Device device, tpm::Device::open(std::move(to)));
  return OwnMachine{{config, keyms::configuration_digest(config), &clock}, std::move(device)};
}

Result<std::optional<StateOwner>> StateOwner::find(const std::string& name) {
  if (name.empty() || ::geteuid() != 0) return std::optional<StateOwner>();
  auto user = find_user(name);
  if (!user.ok()) return std::move(user).error().context("whom the state is to belong to");
  return std::optional(StateOwner{user->id, user->group});
}

std::optional<StateOwner> StateOwner::of(const std::string& directory) {
  struct stat found {};
  if (::geteuid() != 0 || ::stat(directory.c_str(), &found) != 0 || found.st_uid == 0)
    return std::nullopt;
  return StateOwner{found.st_uid, found.st_gid};
}

namespace {

// A hard link could be to anything, and a directory's user may have made it.
Result<void> give(const std::string& path, const StateOwner& owner) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat found {};
  if (!fd || ::fstat(fd.get(), &found) != 0) return from_errno(errno, "looking at " + path);
  const bool plain = S_ISREG(found.st_mode) && found.st_nlink == 1;
  if (!plain && !S_ISDIR(found.st_mode)) {
    return Error(ErrorKind::invalid, path + " is no plain file of one name")
        .with_hint("see who put it there, and remove it");
  }
  if (::fchownat(fd.get(), "", owner.user, owner.group, AT_EMPTY_PATH) != 0)
    return from_errno(errno, "giving " + path + " to keymsd's user");
  return {};
}

}  // namespace

Result<void> StateOwner::take(const std::string& directory) const {
  std::error_code code;
  fs::recursive_directory_iterator at(directory, code);
  for (const fs::recursive_directory_iterator end; !code && at != end; at.increment(code))
    CS_CHECK(give(at->path().string(), *this));
  if (code) return from_errno(code.value(), "looking through " + directory);
  return give(directory, *this);
}

Result<void> StateOwner::begin_acting() const {
  if (::setegid(group) == 0 && ::seteuid(user) == 0) return {};
  const int number = errno;
  end_acting();
  return from_errno(number, "becoming the user that the state belongs to");
}

void StateOwner::end_acting() {
  if (::seteuid(0) != 0 || ::setegid(0) != 0) panic("root cannot be itself again");
}

Outcome outcome_of(const Error& error) noexcept {
  constexpr std::array kinds{ErrorKind::denied, ErrorKind::exists};
  const bool refused =
      policy::is_of_content(error) ||
      (error.os_error() == 0 && std::ranges::find(kinds, error.kind()) != kinds.end());
  return refused ? Outcome::refused : Outcome::unreadable;
}

}  // namespace cs::keymsd
