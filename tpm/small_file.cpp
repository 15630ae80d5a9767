// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace cs::tpm {

namespace {

Result<std::vector<std::uint8_t>> read_all(int fd, const std::string& name, std::size_t limit) {
  std::vector<std::uint8_t> bytes;
  std::array<std::uint8_t, 16384> part{};
  for (;;) {
    const ssize_t n = ::read(fd, part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return from_errno(errno, "reading " + name);
    if (n == 0) return bytes;
    bytes.insert(bytes.end(), part.begin(), part.begin() + n);
    if (bytes.size() > limit) {
      return Error(ErrorKind::limit,
                   name + ": it has more than " + std::to_string(limit) + " bytes");
    }
  }
}

}  // namespace

Result<UniqueFd> open_regular_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return from_errno(errno, "opening " + path);
  struct stat about {};
  if (::fstat(fd.get(), &about) != 0) return from_errno(errno, "looking at " + path);
  if (!S_ISREG(about.st_mode)) return Error(ErrorKind::invalid, path + ": it is no regular file");
  return fd;
}

Result<std::vector<std::uint8_t>> read_small_file(const std::string& path, std::size_t limit) {
  if (path == "-") return read_all(STDIN_FILENO, "standard input", limit);
  CS_TRY(const UniqueFd fd, open_regular_file(path));
  return read_all(fd.get(), path, limit);
}

Result<std::vector<std::uint8_t>> read_file_from(const std::string& path, std::uint64_t offset,
                                                 std::size_t limit) {
  CS_TRY(const UniqueFd fd, open_regular_file(path));
  if (!std::in_range<off_t>(offset) ||
      ::lseek(fd.get(), static_cast<off_t>(offset), SEEK_SET) < 0) {
    return from_errno(EINVAL, "reading " + path + " from byte " + std::to_string(offset) + " on");
  }
  return read_all(fd.get(), path, limit);
}

}  // namespace cs::tpm
