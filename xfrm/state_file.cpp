// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/state_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace cs {
namespace {

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

Result<void> write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t done = write(fd, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return from_errno(done < 0 ? errno : EIO, "writing " + path);
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  if (fsync(fd) != 0) return from_errno(errno, "writing " + path + " to disk");
  return {};
}

// A rename or removal is on disk once its directory is.
Result<void> sync_directory_of(const std::string& path) {
  const std::string directory = directory_of(path);
  const UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) return from_errno(errno, "writing directory " + directory);
  return {};
}

}  // namespace

Result<std::optional<std::string>> read_state_file(const std::string& path, std::size_t max_size) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && errno == ENOENT) return std::optional<std::string>();
  if (!fd) return from_errno(errno, "opening " + path);
  std::string text(max_size + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno(errno, "reading " + path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > max_size) return Error(ErrorKind::limit, "reading " + path + ": it is too long");
  text.resize(size);
  return std::optional(std::move(text));
}

Result<void> write_state_file(const std::string& path, std::string_view text) {
  if (text.empty()) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return from_errno(errno, "removing " + path);
    return sync_directory_of(path);
  }
  const std::string fresh = path + ".new";
  // What a killed process left, or somebody else put there.
  if (unlink(fresh.c_str()) != 0 && errno != ENOENT) return from_errno(errno, "removing " + fresh);
  const UniqueFd fd(
      open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return from_errno(errno, "making " + fresh);
  CS_CHECK(write_all(fd.get(), text, fresh));
  if (rename(fresh.c_str(), path.c_str()) != 0) return from_errno(errno, "renaming " + fresh);
  return sync_directory_of(path);
}

Result<UniqueFd> hold_state_file(const std::string& path, const std::string& service) {
  const std::string directory = directory_of(path);
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    return from_errno(errno, "opening directory " + directory)
        .with_hint("make it, for " + service +
                   "'s user alone; StateDirectory= in the systemd unit does");
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return from_errno(errno, "locking directory " + directory);
  return Error(ErrorKind::busy, "another process keeps " + path)
      .with_hint("stop it first: systemctl stop " + service);
}

}  // namespace cs
