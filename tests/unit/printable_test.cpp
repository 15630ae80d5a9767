// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/printable.h"

#include <gtest/gtest.h>

namespace cs {
namespace {

TEST(Printable, LeavesPrintableAsciiAndNothingElse) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const std::string text = printable(all);
  for (const char c : text) EXPECT_TRUE(c >= ' ' && c <= '~');
  EXPECT_NE(text.find(all.substr(0x20, 0x5f)), std::string::npos);
  EXPECT_TRUE(text.starts_with(R"(\x00\x01)"));
  EXPECT_TRUE(text.ends_with(R"(~\x7f\x80)" + text.substr(text.size() - 127 * 4)));
  // U+202E, which turns what follows around: spelt out, so that it does not turn this.
  const std::string turned{'b', '\xe2', '\x80', '\xae'};
  EXPECT_EQ(printable("a\x1b[2J" + turned), R"(a\x1b[2Jb\xe2\x80\xae)");
  EXPECT_EQ(printable(""), "");
}

}  // namespace
}  // namespace cs
