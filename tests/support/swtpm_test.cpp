// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/swtpm.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/require.h"
#include "tests/support/unwrap.h"

namespace cs::test {
namespace {

const std::string zeros(64, '0');

std::string pcr16(const Swtpm& tpm) {
  return get(tpm.tool({"tpm2_pcrread", "sha256:16"}));
}

TEST(Swtpm, IsATpmOfItsOwn) {
  require::programs({"swtpm", "tpm2_pcrread"});
  const Swtpm one = get(Swtpm::start());
  const Swtpm two = get(Swtpm::start());
  get(one.tool({"tpm2_pcrextend", "16:sha256=" + zeros}));
  EXPECT_EQ(pcr16(one).find(zeros), std::string::npos);
  EXPECT_NE(pcr16(two).find(zeros), std::string::npos);
  EXPECT_FALSE(one.tool({"tpm2_pcrextend", "nonsense"}).ok());
}

TEST(Swtpm, KeepsItsStateOverAPowerCut) {
  Swtpm tpm = get(Swtpm::start());
  get(tpm.tool({"tpm2_nvdefine", "0x01500000", "-s", "4", "-a", "ownerwrite|ownerread"}));
  get(tpm.tool({"tpm2_pcrextend", "16:sha256=" + zeros}));
  EXPECT_FALSE(tpm.power_on().ok());
  tpm.kill();
  EXPECT_FALSE(tpm.tool({"tpm2_pcrread"}).ok());
  get(tpm.power_on());
  EXPECT_NE(get(tpm.tool({"tpm2_nvreadpublic"})).find("0x1500000"), std::string::npos);
  EXPECT_NE(pcr16(tpm).find(zeros), std::string::npos);
}

TEST(Swtpm, LeavesNothing) {
  std::string path;
  {
    const Swtpm tpm = get(Swtpm::start());
    path = tpm.file("tpm");
    EXPECT_TRUE(std::filesystem::exists(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace cs::test
