// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/control_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace cs {

namespace {

constexpr int most_at_once = 16;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy_n(path.begin(), std::min(path.size(), sizeof(address.sun_path) - 1),
              std::begin(address.sun_path));
  return address;
}

// A socket nobody listens on any more; anything else at that path is somebody's.
bool is_left_over(const std::string& path) {
  struct stat entry {};
  if (::lstat(path.c_str(), &entry) != 0 || !S_ISSOCK(entry.st_mode)) return false;
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = address_of(path);
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) !=
             0 &&
         errno == ECONNREFUSED;
}

}  // namespace

Result<ControlSocket> ControlSocket::open(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error(ErrorKind::limit,
                 "the control socket " + path + ": at most 107 bytes can be its name");
  }
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return from_errno(errno, "making the control socket");
  if (is_left_over(path)) ::unlink(path.c_str());
  const sockaddr_un address = address_of(path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return from_errno(errno, "making the control socket " + path)
        .with_hint(
            "its directory has to be there and ours; RuntimeDirectory= in the systemd unit makes "
            "it");
  }
  if (::chmod(path.c_str(), 0660) != 0 || ::listen(fd.get(), most_at_once) != 0) {
    return from_errno(errno, "listening on the control socket " + path);
  }
  return ControlSocket(std::move(fd));
}

void ControlSocket::answer(const std::string& text) const noexcept {
  for (int i = 0; i < most_at_once; ++i) {
    const UniqueFd client(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) return;
    // A fresh socket's buffer is far larger than what we say.
    static_cast<void>(::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL));
  }
}

}  // namespace cs
