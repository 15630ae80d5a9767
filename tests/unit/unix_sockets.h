// SPDX-License-Identifier: GPL-3.0-or-later
// The other end of the data plane's socket as a hostile or clumsy program would have it: bare
// datagrams, at a path of its own.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace cs::test {

// A directory that goes with the object.
class SocketDirectory {
 public:
  SocketDirectory() : path_((std::filesystem::temp_directory_path() / "cs-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
  }
  ~SocketDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string socket() const { return path_ + "/socket"; }

 private:
  std::string path_;
};

class BareSocket {
 public:
  BareSocket() = default;
  explicit BareSocket(int fd) : fd_(fd) {}

  static BareSocket connect(const std::string& path) {
    BareSocket made(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of(path);
    must(::connect(made.fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
    return made;
  }
  static BareSocket listen(const std::string& path) {
    BareSocket made(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const sockaddr_un address = address_of(path);
    must(::bind(made.fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
    must(::listen(made.fd_.get(), 4));
    return made;
  }
  [[nodiscard]] BareSocket accept() const {
    const int fd = ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    must(fd);
    return BareSocket(fd);
  }

  void send(ByteView bytes) const {
    must(static_cast<int>(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL)));
  }
  // Empty: nothing is there, or the other end has gone.
  [[nodiscard]] std::vector<std::uint8_t> receive() const {
    std::vector<std::uint8_t> bytes(4096);
    const auto size = ::recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return bytes;
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }

 private:
  static void must(int result) {
    if (result < 0) throw std::runtime_error("a socket of the test failed");
  }
  static sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), std::begin(address.sun_path));
    return address;
  }

  UniqueFd fd_;
};

}  // namespace cs::test
