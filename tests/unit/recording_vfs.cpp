// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/recording_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <random>
#include <set>
#include <utility>

namespace cs::test {

struct Recording {
  std::vector<DiskStep> steps;
  std::optional<std::size_t> refuse_in;
  int code = SQLITE_OK;
  bool refused = false;

  // Whether it may be done; then it is noted.
  int note(DiskStep step) {
    if (refuse_in && (*refuse_in)-- == 0) {
      refuse_in.reset();
      refused = true;
      return code;
    }
    steps.push_back(std::move(step));
    return SQLITE_OK;
  }
};

namespace {

Recording* recording = nullptr;  // of the one that there is
sqlite3_vfs* kernel = nullptr;   // SQLite's own, which does the work

// SQLite's file, followed in memory by the one of the VFS below.
struct File {
  sqlite3_file base;
  const char* name;
};
sqlite3_file* inner(sqlite3_file* file) {
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<File*>(file) + 1);
}
std::string last_of(const char* name) {
  return std::filesystem::path(name).filename();
}
std::string name_of(sqlite3_file* file) {
  return last_of(reinterpret_cast<File*>(file)->name);
}

int close(sqlite3_file* file) {
  return inner(file)->pMethods->xClose(inner(file));
}
int read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  return inner(file)->pMethods->xRead(inner(file), out, size, offset);
}
int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  const int code = recording->note(
      {DiskStep::Kind::write, name_of(file), static_cast<std::uint64_t>(offset),
       std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size))});
  if (code != SQLITE_OK) return code;
  return inner(file)->pMethods->xWrite(inner(file), bytes, size, offset);
}
int truncate(sqlite3_file* file, sqlite3_int64 size) {
  const int code =
      recording->note({DiskStep::Kind::truncate, name_of(file), static_cast<std::uint64_t>(size)});
  if (code != SQLITE_OK) return code;
  return inner(file)->pMethods->xTruncate(inner(file), size);
}
int sync(sqlite3_file* file, int flags) {
  const int code = recording->note({DiskStep::Kind::sync, name_of(file)});
  if (code != SQLITE_OK) return code;
  return inner(file)->pMethods->xSync(inner(file), flags);
}
int file_size(sqlite3_file* file, sqlite3_int64* size) {
  return inner(file)->pMethods->xFileSize(inner(file), size);
}
int lock(sqlite3_file* file, int level) {
  return inner(file)->pMethods->xLock(inner(file), level);
}
int unlock(sqlite3_file* file, int level) {
  return inner(file)->pMethods->xUnlock(inner(file), level);
}
int check_reserved(sqlite3_file* file, int* out) {
  return inner(file)->pMethods->xCheckReservedLock(inner(file), out);
}
int control(sqlite3_file* file, int what, void* argument) {
  return inner(file)->pMethods->xFileControl(inner(file), what, argument);
}
int sector_size(sqlite3_file* file) {
  return inner(file)->pMethods->xSectorSize(inner(file));
}
int characteristics(sqlite3_file* file) {
  return inner(file)->pMethods->xDeviceCharacteristics(inner(file));
}

const sqlite3_io_methods methods{
    .iVersion = 1,  // neither shared memory nor mapped pages
    .xClose = close,
    .xRead = read,
    .xWrite = write,
    .xTruncate = truncate,
    .xSync = sync,
    .xFileSize = file_size,
    .xLock = lock,
    .xUnlock = unlock,
    .xCheckReservedLock = check_reserved,
    .xFileControl = control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = nullptr,
    .xShmLock = nullptr,
    .xShmBarrier = nullptr,
    .xShmUnmap = nullptr,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int open(sqlite3_vfs* /*self*/, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  int there = 0;
  if (name != nullptr) kernel->xAccess(kernel, name, SQLITE_ACCESS_EXISTS, &there);
  if (name != nullptr && there == 0 && (flags & SQLITE_OPEN_CREATE) != 0) {
    const int code = recording->note({DiskStep::Kind::make, last_of(name)});
    if (code != SQLITE_OK) return code;
  }
  auto* const ours = reinterpret_cast<File*>(file);
  ours->name = name == nullptr ? "" : name;
  ours->base.pMethods = nullptr;
  const int code = kernel->xOpen(kernel, name, inner(file), flags, out_flags);
  if (inner(file)->pMethods != nullptr) ours->base.pMethods = &methods;
  return code;
}
int remove(sqlite3_vfs* /*self*/, const char* name, int sync_directory) {
  int code = recording->note({DiskStep::Kind::remove, last_of(name)});
  if (code != SQLITE_OK) return code;
  code = kernel->xDelete(kernel, name, sync_directory);
  if (code != SQLITE_OK || sync_directory == 0) return code;
  return recording->note({DiskStep::Kind::sync_names, ""});
}

sqlite3_vfs shim;

// Of a write only these bytes.
void put_into(std::string& file, const DiskStep& step, std::size_t from, std::size_t size) {
  if (step.kind == DiskStep::Kind::truncate) return file.resize(step.offset);
  const std::size_t end = step.offset + from + size;
  if (file.size() < end) file.resize(end);
  std::copy_n(step.bytes.begin() + static_cast<std::ptrdiff_t>(from), size,
              file.begin() + static_cast<std::ptrdiff_t>(step.offset + from));
}

// A disk with a cache that it may lose.
class Disk {
 public:
  Disk(Files files, std::uint32_t seed) : safe_(std::move(files)), random_(seed) {}

  void run(const DiskStep& step) {
    using enum DiskStep::Kind;
    switch (step.kind) {
      case write:
      case truncate:
        pending_[step.file].push_back(&step);
        break;
      case sync:
        for (const DiskStep* one : std::exchange(pending_[step.file], {})) {
          put_into(safe_[step.file], *one, 0, one->bytes.size());
        }
        new_.erase(step.file);
        break;
      case make:
        safe_[step.file].clear();
        removed_.erase(step.file);
        new_.insert(step.file);
        break;
      case remove:
        removed_.insert(step.file);
        break;
      case sync_names:
        for (const std::string& name : std::exchange(removed_, {})) {
          safe_.erase(name);
          pending_.erase(name);
          new_.erase(name);
        }
        break;
      case counted:
        break;
    }
  }

  Files lose(Loss loss) {
    Files found = safe_;
    for (const auto& [name, steps] : pending_) {
      for (const DiskStep* step : steps) keep(found[name], *step, loss, step == steps.back());
    }
    const auto happened = [&] { return loss == Loss::some ? flip() : loss != Loss::all; };
    for (const std::string& name : removed_) {
      if (happened()) found.erase(name);
    }
    for (const std::string& name : new_) {
      if (!happened()) found.erase(name);
    }
    return found;
  }

 private:
  bool flip() { return (random_() & 1U) != 0; }
  void keep(std::string& file, const DiskStep& step, Loss loss, bool last) {
    constexpr std::size_t sector = 512;
    const std::size_t size = step.bytes.size();
    if (loss == Loss::all) return;
    if (loss == Loss::nothing || (loss == Loss::torn && !last))
      return put_into(file, step, 0, size);
    if (step.kind == DiskStep::Kind::truncate) {
      if (flip()) put_into(file, step, 0, 0);
    } else if (loss == Loss::torn) {
      put_into(file, step, 0, random_() % (size + 1));
    } else {
      for (std::size_t at = 0; at < size; at += sector) {
        if (flip()) put_into(file, step, at, std::min(sector, size - at));
      }
    }
  }

  Files safe_;
  std::map<std::string, std::vector<const DiskStep*>> pending_;  // not synced
  std::set<std::string> new_;                                    // nor these names
  std::set<std::string> removed_;
  std::mt19937 random_;
};

}  // namespace

RecordingVfs::RecordingVfs() : recording_(std::make_unique<Recording>()) {
  recording = recording_.get();
  kernel = sqlite3_vfs_find(nullptr);
  shim = *kernel;
  shim.iVersion = 1;
  shim.zName = "recording";
  shim.szOsFile = static_cast<int>(sizeof(File)) + kernel->szOsFile;
  shim.xOpen = open;
  shim.xDelete = remove;
  sqlite3_vfs_register(&shim, 1);
}

RecordingVfs::~RecordingVfs() {
  sqlite3_vfs_unregister(&shim);
  sqlite3_vfs_register(kernel, 1);
}

void RecordingVfs::note_counted() {
  recording_->steps.push_back({DiskStep::Kind::counted, {}});
}

const std::vector<DiskStep>& RecordingVfs::steps() const {
  return recording_->steps;
}

void RecordingVfs::refuse(std::size_t number, int code) {
  recording_->refuse_in = number;
  recording_->code = code;
  recording_->refused = false;
}

bool RecordingVfs::refused() const {
  return recording_->refused;
}

Files after_power_cut(const Files& files, const std::vector<DiskStep>& steps, std::size_t done,
                      Loss loss, std::uint32_t seed) {
  Disk disk(files, seed);
  for (std::size_t i = 0; i < done; ++i) disk.run(steps[i]);
  return disk.lose(loss);
}

}  // namespace cs::test
