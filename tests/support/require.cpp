// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/require.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

namespace cs::test::require {
namespace {

constexpr int kSkipped = 77;

// NOLINTBEGIN(concurrency-mt-unsafe): called before a thread was started, says the header

bool is_in_path(std::string_view name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(std::string(path != nullptr ? path : "") + ":/usr/sbin:/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (access((folder + "/" + std::string(name)).c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace

void missing(std::string_view why, std::string_view what_to_do) {
  const char* ci = std::getenv("CI");
  const bool must_run = ci != nullptr && std::string_view(ci) == "true";
  const std::string said = std::string(must_run ? "MISSING TIER: " : "SKIP: ") + std::string(why) +
                           " (" + std::string(what_to_do) + ")";
  std::puts(said.c_str());
  std::exit(must_run ? EXIT_FAILURE : kSkipped);
}

void programs(std::initializer_list<std::string_view> names) {
  std::string absent;
  for (const std::string_view name : names) {
    if (!is_in_path(name)) absent += (absent.empty() ? "" : ", ") + std::string(name);
  }
  if (!absent.empty()) missing("not installed: " + absent, "run scripts/setup test");
}

// NOLINTEND(concurrency-mt-unsafe)

}  // namespace cs::test::require
