// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/control_socket.h"

#include <sys/socket.h>

#include "base/unix_socket.h"

namespace cs {

namespace {
constexpr int most_at_once = 16;
}  // namespace

Result<ControlSocket> ControlSocket::open(const std::string& path) {
  CS_TRY(UniqueFd fd, listen_at(path, SOCK_STREAM, most_at_once));
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
