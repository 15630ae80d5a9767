// SPDX-License-Identifier: GPL-3.0-or-later
// main() of the tier's programs: first whether this machine can, then the tests; none run is none
// passed.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/netns/environment.h"

namespace {

// iptables lives there, and PATH often does not say so. No thread runs yet.
void add_sbin_to_path() {
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  const std::string longer =
      std::string(path != nullptr ? path : "/usr/bin:/bin") + ":/usr/sbin:/sbin";
  setenv("PATH", longer.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (GTEST_FLAG_GET(list_tests)) return RUN_ALL_TESTS();
  add_sbin_to_path();
  cs::test::require_nfqueue();
  const int failed = RUN_ALL_TESTS();
  const auto& all = *testing::UnitTest::GetInstance();
  if (all.successful_test_count() + all.failed_test_count() > 0) return failed;
  std::puts("no test ran: nothing was shown (is --gtest_filter right?)");
  return EXIT_FAILURE;
}
