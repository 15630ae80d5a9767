// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cs::test {

// A directory in memory for files of a test. It is mounted nowhere and lives as long as the
// descriptor held here: however the test ends, nothing is left. Commands reach it by path, as long
// as this process and object live.
class Scratch {
 public:
  // Fails without CAP_SYS_ADMIN.
  static Result<Scratch> create();

  [[nodiscard]] std::string file(const std::string& name) const;

 private:
  explicit Scratch(UniqueFd mount) : mount_(std::move(mount)) {}
  UniqueFd mount_;
};

}  // namespace cs::test
