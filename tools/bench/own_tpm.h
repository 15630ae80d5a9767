// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "base/result.h"

namespace cs::bench {

// A software TPM of this process: swtpm. Ends with the object, and with the thread that started it.
class OwnTpm {
 public:
  // Refused (not_found): there is no program swtpm.
  static Result<OwnTpm> start();
  OwnTpm(OwnTpm&& other) noexcept
      : directory_(std::exchange(other.directory_, {})),
        process_(std::exchange(other.process_, 0)) {}
  OwnTpm& operator=(OwnTpm&& other) noexcept {
    std::swap(directory_, other.directory_);
    std::swap(process_, other.process_);
    return *this;
  }
  OwnTpm(const OwnTpm&) = delete;
  OwnTpm& operator=(const OwnTpm&) = delete;
  ~OwnTpm();

  // What a TSS opens; one connection at a time.
  [[nodiscard]] std::string tcti() const { return "swtpm:path=" + file("tpm"); }
  // A path in a directory that goes with it.
  [[nodiscard]] std::string file(const std::string& name) const { return directory_ + "/" + name; }

 private:
  explicit OwnTpm(std::string directory) : directory_(std::move(directory)) {}
  Result<void> await_start();

  std::string directory_;  // empty: moved away
  pid_t process_ = 0;      // 0: none
};

}  // namespace cs::bench
