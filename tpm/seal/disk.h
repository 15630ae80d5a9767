// SPDX-License-Identifier: GPL-3.0-or-later
// What is done to files that must survive a loss of power at any moment. Tests let it fail.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace cs::tpm {

struct OpenFile {
  UniqueFd fd;
  std::string path;  // for errors
};

// The kernel's. Without state: any number of threads may use it.
class Disk {
 public:
  Disk() = default;
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;
  Disk(Disk&&) = delete;
  Disk& operator=(Disk&&) = delete;
  virtual ~Disk() = default;

  // All of it, where the file ends.
  [[nodiscard]] virtual Result<void> write(const OpenFile& file, ByteView bytes);
  // What was written stays. Of a directory: the names in it do.
  [[nodiscard]] virtual Result<void> sync(const OpenFile& file);
  [[nodiscard]] virtual Result<void> rename(const std::string& from, const std::string& to);
  [[nodiscard]] virtual Result<void> truncate(const OpenFile& file, std::uint64_t size);
};
[[nodiscard]] Disk& kernel_disk();

// To append to; made if it is not there, for its owner only. Not through a symbolic link.
[[nodiscard]] Result<OpenFile> open_to_append(const std::string& path);
[[nodiscard]] Result<void> sync_directory_of(Disk& disk, const std::string& path);

// Whenever the power fails, `path` is then what it was before or what it is to be; also when this
// fails, unless it was only the directory that could not be synced. PATH.new is taken meanwhile.
[[nodiscard]] Result<void> replace_file(Disk& disk, const std::string& path, ByteView bytes);

}  // namespace cs::tpm
