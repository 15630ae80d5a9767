// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace cs::tpm {

Result<void> Disk::write(const OpenFile& file, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file.fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return from_errno(errno, "writing " + file.path);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> Disk::sync(const OpenFile& file) {
  if (::fsync(file.fd.get()) == 0) return {};
  return from_errno(errno, "syncing " + file.path);
}

Result<void> Disk::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return from_errno(errno, "renaming " + from + " to " + to);
}

Result<void> Disk::truncate(const OpenFile& file, std::uint64_t size) {
  if (::ftruncate(file.fd.get(), static_cast<off_t>(size)) == 0) return {};
  return from_errno(errno, "cutting " + file.path);
}

Disk& kernel_disk() {
  static Disk disk;
  return disk;
}

Result<OpenFile> open_to_append(const std::string& path) {
  constexpr int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  OpenFile file{UniqueFd(::open(path.c_str(), flags, S_IRUSR | S_IWUSR)), path};
  if (!file.fd) return from_errno(errno, "opening " + path);
  return file;
}

Result<void> sync_directory_of(Disk& disk, const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string directory =
      slash == std::string::npos ? "." : path.substr(0, slash == 0 ? 1 : slash);
  const OpenFile file{UniqueFd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                      directory};
  if (!file.fd) return from_errno(errno, "opening " + directory);
  return disk.sync(file);
}

Result<void> replace_file(Disk& disk, const std::string& path, ByteView bytes) {
  const std::string beside = path + ".new";
  auto written = [&]() -> Result<void> {
    CS_TRY(const OpenFile file, open_to_append(beside));
    // What a crash may have left.
    CS_CHECK(disk.truncate(file, 0));
    CS_CHECK(disk.write(file, bytes));
    CS_CHECK(disk.sync(file));
    return disk.rename(beside, path);
  }();
  if (!written.ok()) {
    ::unlink(beside.c_str());
    return written;
  }
  return sync_directory_of(disk, path);
}

}  // namespace cs::tpm
