// SPDX-License-Identifier: GPL-3.0-or-later
// Whoever connects is told the status and hung up on. Nothing is read, so there is nothing to
// abuse.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cs {

class ControlSocket {
 public:
  // A stream socket; base/unix_socket.h says what may be at `path`.
  static Result<ControlSocket> open(const std::string& path);

  // Readable when somebody waits.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // Answers everybody who waits; who cannot take it at once gets what fits.
  void answer(const std::string& text) const noexcept;

 private:
  explicit ControlSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace cs
