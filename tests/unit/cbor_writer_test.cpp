// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/cbor_writer.h"

#include <gtest/gtest.h>

#include <string>

#include "base/hex.h"
#include "tests/support/unwrap.h"

namespace cs {
namespace {

template <class Write>
std::string written(Write write) {
  CborWriter out(64);
  write(out);
  return hex_encode(test::get(out.finish("a test")));
}

// The examples of RFC 8949, appendix A.
TEST(CborWriter, WritesTheExamplesOfTheStandard) {
  const std::vector<std::pair<std::uint64_t, std::string>> numbers{
      {0, "00"},
      {23, "17"},
      {24, "1818"},
      {255, "18ff"},
      {256, "190100"},
      {65535, "19ffff"},
      {65536, "1a00010000"},
      {4294967295, "1affffffff"},
      {1000000000000, "1b000000e8d4a51000"},
      {18446744073709551615U, "1bffffffffffffffff"}};
  for (const auto& one : numbers) {
    EXPECT_EQ(written([&](auto& w) { w.number(one.first); }), one.second);
  }
  EXPECT_EQ(written([](auto& w) { w.boolean(false).boolean(true).null(); }), "f4f5f6");
  const std::array<std::uint8_t, 4> bytes{1, 2, 3, 4};
  EXPECT_EQ(written([&](auto& w) { w.bytes(bytes); }), "4401020304");
  EXPECT_EQ(written([](auto& w) { w.text("\u6c34").text(""); }), "63e6b0b460");
  EXPECT_EQ(written([](auto& w) { w.array(3).number(1).array(2).number(2).number(3).array(0); }),
            "830182020380");
}

TEST(CborWriter, NothingGetsOutAboveTheLimit) {
  CborWriter out(3);
  out.text("abc").null();
  EXPECT_EQ(out.finish("a test").error().kind(), ErrorKind::limit);
}

}  // namespace
}  // namespace cs
