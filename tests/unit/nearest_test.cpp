// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/nearest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using cs::Candidate;
using cs::nearest;

TEST(Nearest, IsOneLetterInThreeAwayOrABeginning) {
  const std::vector<Candidate> words{
      {"--key", "--key"}, {"--direction", "--direction"}, {"sign", "packet sign"}};
  EXPECT_EQ(nearest("--kye", words), "--key");
  EXPECT_EQ(nearest("--keys", words), "--key");
  EXPECT_EQ(nearest("--dir", words), "--direction");
  EXPECT_EQ(nearest("--drectoin", words), "--direction");
  EXPECT_EQ(nearest("sing", words), "packet sign");
  EXPECT_EQ(nearest("--other", words), std::nullopt);
  EXPECT_EQ(nearest("-k", words), std::nullopt);
  EXPECT_EQ(nearest("", words), std::nullopt);
  EXPECT_EQ(nearest(std::string(100000, 'x'), words), std::nullopt);
}

}  // namespace
