// SPDX-License-Identifier: GPL-3.0-or-later
// Unix sockets that are files: an address for a path, and a server's socket where a dead server may
// have left its own.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cs {

struct UnixAddress {
  sockaddr_un of{};

  [[nodiscard]] const sockaddr* get() const noexcept {
    return reinterpret_cast<const sockaddr*>(&of);
  }
  static constexpr socklen_t size = sizeof(sockaddr_un);
};

inline Result<UnixAddress> unix_address(const std::string& path) {
  UnixAddress address;
  address.of.sun_family = AF_UNIX;
  // An empty path would be a socket of no name, one that begins with a zero byte one of no file.
  if (path.empty() || path.find('\0') != std::string::npos)
    return Error(ErrorKind::invalid, "the path of a socket is empty or has a zero byte");
  if (path.size() >= sizeof(address.of.sun_path)) {
    return Error(ErrorKind::limit, "the path of a socket, " + path + ", has " +
                                       std::to_string(path.size()) + " bytes: at most " +
                                       std::to_string(sizeof(address.of.sun_path) - 1));
  }
  std::copy(path.begin(), path.end(), std::begin(address.of.sun_path));
  return address;
}

// SOCK_STREAM or SOCK_SEQPACKET; it never blocks.
inline Result<UniqueFd> unix_socket(int type) {
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return from_errno(errno, "making a Unix socket");
  return fd;
}

// Removes the socket at `path` that nobody listens at any more. Nothing but that.
inline Result<void> clear_unix_path(const std::string& path, const UnixAddress& address) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return from_errno(errno, "looking at " + path);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return Error(ErrorKind::exists, path + " is there and no socket")
        .with_hint("move it away, or configure another path");
  }
  // Its type does not matter: where somebody listens, a wrong one has another error.
  CS_TRY(const UniqueFd probe, unix_socket(SOCK_STREAM));
  if (::connect(probe.get(), address.get(), UnixAddress::size) == 0 || errno != ECONNREFUSED) {
    return Error(ErrorKind::exists, "another process listens at " + path)
        .with_hint("stop it first, or configure another path");
  }
  if (::unlink(path.c_str()) != 0) return from_errno(errno, "removing the old socket " + path);
  return {};
}

// Listens at `path`, mode 0660. What a dead process left there is replaced; anything else is
// refused with `exists`. Only who is to listen there may be able to write to its directory.
inline Result<UniqueFd> listen_at(const std::string& path, int type, int backlog) {
  CS_TRY(const UnixAddress address, unix_address(path));
  CS_CHECK(clear_unix_path(path, address));
  CS_TRY(UniqueFd fd, unix_socket(type));
  if (::bind(fd.get(), address.get(), UnixAddress::size) != 0) {
    return from_errno(errno, "making the socket " + path)
        .with_hint(
            "its directory has to be there and ours; RuntimeDirectory= in a systemd unit makes it");
  }
  constexpr mode_t mode = 0660;
  // Nobody can connect before listen().
  if (::chmod(path.c_str(), mode) != 0) return from_errno(errno, "setting the mode of " + path);
  if (::listen(fd.get(), backlog) != 0) return from_errno(errno, "listening at " + path);
  return fd;
}

}  // namespace cs
