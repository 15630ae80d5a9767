// SPDX-License-Identifier: GPL-3.0-or-later
// A machine whose power fails at a chosen moment: after so many bytes, files, names and commands.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/tcti_tap.h"
#include "tpm/seal/disk.h"

namespace cs::test {

// Counts what is done; when it is used up, nothing is done any more.
class PowerCut {
 public:
  explicit PowerCut(std::size_t after) : left_(after) {}
  // Whether the next step is still done.
  [[nodiscard]] bool step() {
    if (left_ == 0) return !(over_ = true);
    --left_;
    return true;
  }
  [[nodiscard]] bool over() const { return over_; }
  // Where it fails, for tests that have less to try elsewhere.
  bool at_command = false;  // of a TPM
  bool wrote = false;       // something before that

 private:
  std::size_t left_;
  bool over_ = false;
};

// What a disk loses that nobody has told to keep it.
enum class Lost { nothing, data, names };

class FailingDisk final : public tpm::Disk {
 public:
  // Writing takes a step for every `grain` bytes.
  FailingDisk(PowerCut& power, std::size_t grain) : power_(&power), grain_(grain) {}

  Result<void> write(const tpm::OpenFile& file, ByteView bytes) override {
    unsynced_.try_emplace(file.path, std::filesystem::file_size(file.path));
    while (!bytes.empty()) {
      if (!power_->step()) return off();
      const ByteView part = bytes.first(std::min(grain_, bytes.size()));
      CS_CHECK(Disk::write(file, part));
      power_->wrote = true;
      bytes = bytes.subspan(part.size());
    }
    return {};
  }
  Result<void> sync(const tpm::OpenFile& file) override {
    if (!power_->step()) return off();
    if (std::filesystem::is_directory(file.path)) {
      renamed_.clear();
    } else {
      unsynced_.erase(file.path);
    }
    return {};
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    if (!power_->step()) return off();
    renamed_.emplace(to, contents(to));
    if (const auto found = unsynced_.extract(from)) unsynced_[to] = found.mapped();
    return Disk::rename(from, to);
  }
  Result<void> truncate(const tpm::OpenFile& file, std::uint64_t size) override {
    if (!power_->step()) return off();
    return Disk::truncate(file, size);
  }

  // As it is found when the power is back.
  void lose(Lost what) {
    if (what == Lost::names) {
      for (const auto& [path, before] : renamed_) {
        if (!before) std::filesystem::remove(path);
        if (before) std::ofstream(path, std::ios::binary) << *before;
      }
    }
    if (what == Lost::data) {
      for (const auto& [path, size] : unsynced_) {
        if (std::filesystem::exists(path)) std::filesystem::resize_file(path, size);
      }
    }
  }

 private:
  static Error off() { return {ErrorKind::io, "the power is off"}; }
  static std::optional<std::string> contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return {};
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  PowerCut* power_;
  std::size_t grain_;
  std::map<std::string, std::uintmax_t> unsynced_;  // and how much of it is safe
  std::map<std::string, std::optional<std::string>> renamed_;
};

// The same for what is asked of a TPM; `answered`: the last command is done, its answer lost.
inline TctiTap::Decide cut_at(PowerCut& power, bool answered) {
  return [&power, answered](unsigned /*number*/, ByteView /*command*/) {
    const bool before = power.over();
    if (power.step()) return Fate{};
    power.at_command = power.at_command || !before;
    return Fate{!before && answered ? Fate::Kind::break_after : Fate::Kind::break_before};
  };
}

}  // namespace cs::test
