// SPDX-License-Identifier: GPL-3.0-or-later
// Sits between SQLite and its files: notes what is written, in order, so that a test can lay out
// what a disk may hold after a loss of power at any moment; and refuses what a test wants refused.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cs::test {

struct DiskStep {
  enum class Kind : std::uint8_t {
    write,
    truncate,  // to `offset` bytes
    sync,      // of the file; of its name too, if it is new
    make,      // the file
    remove,    // the file
    sync_names,
    counted,  // not of the disk: the TPM has counted
  };
  Kind kind = Kind::write;
  std::string file;  // without its directory
  std::uint64_t offset = 0;
  std::string bytes = {};
};

struct Recording;

// What SQLite and the TPM do from its making on, in all databases that are opened after it. One at
// a time.
class RecordingVfs {
 public:
  RecordingVfs();
  ~RecordingVfs();
  RecordingVfs(const RecordingVfs&) = delete;
  RecordingVfs& operator=(const RecordingVfs&) = delete;
  RecordingVfs(RecordingVfs&&) = delete;
  RecordingVfs& operator=(RecordingVfs&&) = delete;

  void note_counted();
  [[nodiscard]] const std::vector<DiskStep>& steps() const;
  // The step of this number, from now on, fails once with this code of SQLite's.
  void refuse(std::size_t number, int code);
  [[nodiscard]] bool refused() const;

 private:
  std::unique_ptr<Recording> recording_;
};

using Files = std::map<std::string, std::string>;

enum class Loss : std::uint8_t {
  nothing,  // all that was written is there
  all,      // that was not synced
  torn,     // of the last write a part only
  some,     // that was not synced: any part of it, whatever came before or after it
};

// What `files` have become after the first `done` of `steps`. `seed`: for Loss::some and torn.
[[nodiscard]] Files after_power_cut(const Files& files, const std::vector<DiskStep>& steps,
                                    std::size_t done, Loss loss, std::uint32_t seed);

}  // namespace cs::test
