// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/cbor_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/cbor_writer.h"
#include "base/hex.h"
#include "tests/support/unwrap.h"

namespace cs {
namespace {

std::vector<std::uint8_t> from_hex(const std::string& hex) {
  return test::get(hex_decode(hex, 1024));
}

// What `read` says of these bytes: its value as text, or "kind: message".
template <class Read>
std::string outcome(const std::string& hex, Read read) {
  const auto bytes = from_hex(hex);
  CborReader in(bytes, "a test");
  const auto value = read(in);
  if (!value.ok()) return value.error().message();
  if (const auto end = in.end(); !end.ok()) return end.error().message();
  return "read";
}

TEST(CborReader, ReadsEachNumberInItsShortestFormOnly) {
  const auto number = [](CborReader& in) { return in.number("it"); };
  for (const std::uint64_t value : {0ULL, 23ULL, 24ULL, 255ULL, 256ULL, 65535ULL, 65536ULL,
                                    4294967295ULL, 4294967296ULL, 18446744073709551615ULL}) {
    const auto bytes = test::get(CborWriter(16).number(value).finish("it"));
    CborReader in(bytes, "a test");
    EXPECT_EQ(test::get(in.number("it")), value);
    EXPECT_TRUE(in.end().ok());
  }
  for (const char* longer : {"1817", "1900ff", "1a0000ffff", "1b00000000ffffffff"}) {
    EXPECT_NE(outcome(longer, number).find("shortest"), std::string::npos) << longer;
  }
  EXPECT_NE(outcome("20", number).find("a negative number, not a number"), std::string::npos);
  EXPECT_NE(outcome("1f", number).find("no definite length"), std::string::npos);
  EXPECT_NE(outcome("0100", number).find("should end"), std::string::npos);
  EXPECT_NE(outcome("19ff", number).find("remain"), std::string::npos);
  EXPECT_NE(outcome("1864", [](CborReader& in) { return in.number("it", 99); }).find("at most 99"),
            std::string::npos);
}

TEST(CborReader, RefusesOtherLengthsAndLetters) {
  const auto text = [](CborReader& in) { return in.text("it", 4); };
  EXPECT_EQ(outcome("6461626364", text), "read");
  EXPECT_NE(outcome("656162636465", text).find("at most 4"), std::string::npos);
  EXPECT_NE(outcome("62610a", text).find("printable"), std::string::npos);
  EXPECT_NE(outcome("63e6b0b4", text).find("printable"), std::string::npos);
  EXPECT_NE(outcome("7f6161ff", text).find("no definite length"), std::string::npos);
  EXPECT_NE(outcome("6361", text).find("remain"), std::string::npos);
  const auto four = [](CborReader& in) { return in.exactly("it", 4); };
  EXPECT_EQ(outcome("4401020304", four), "read");
  EXPECT_NE(outcome("43010203", four).find("3 bytes, not 4"), std::string::npos);
  EXPECT_NE(outcome("450102030405", four).find("at most 4"), std::string::npos);
}

TEST(CborReader, RefusesWhatIsNoBoolean) {
  const auto boolean = [](CborReader& in) { return in.boolean("it"); };
  EXPECT_EQ(outcome("f4", boolean), "read");
  EXPECT_EQ(outcome("f5", boolean), "read");
  for (const char* other : {"f6", "f7", "f814", "f93c00", "fa3f800000", "c0f5", "e0", "f820"}) {
    EXPECT_NE(outcome(other, boolean), "read") << other;
  }
}

// {1: "a", 3: true} with key 2 allowed in between.
std::string map_of(const std::string& hex) {
  return outcome(hex, [](CborReader& in) -> Result<void> {
    CS_CHECK(in.begin_map("it", 3));
    CS_CHECK(in.key(1, "the name"));
    CS_TRY([[maybe_unused]] const auto name, in.text("the name", 8));
    if (in.has_key(2)) {
      CS_TRY([[maybe_unused]] const auto number, in.number("the number"));
    }
    CS_CHECK(in.key(3, "the switch"));
    CS_TRY([[maybe_unused]] const bool on, in.boolean("the switch"));
    return in.end_map("it");
  });
}

TEST(CborReader, ReadsMapsInOneOrderOnly) {
  EXPECT_EQ(map_of("a201616103f5"), "read");
  EXPECT_EQ(map_of("a30161610218ff03f5"), "read");
  EXPECT_NE(map_of("a203f5016161").find("key 1) is missing or not in its place"),
            std::string::npos);
  EXPECT_NE(map_of("a301616101616103f5").find("key 3"), std::string::npos) << "doubled";
  EXPECT_NE(map_of("a301616103f50400").find("key that is unknown"), std::string::npos);
  EXPECT_NE(map_of("a1016161").find("key 3"), std::string::npos);
  EXPECT_NE(map_of("a4016161020003f504f5").find("at most 3"), std::string::npos);
  EXPECT_NE(map_of("a30161611802030003f5").find("key 3"), std::string::npos) << "a longer key";
  EXPECT_NE(map_of("bf01616103f5ff").find("no definite length"), std::string::npos);
  EXPECT_NE(map_of("a2016161").find("key 3"), std::string::npos) << "cut off";
}

TEST(CborReader, ReadsWhatTheWriterWrites) {
  const std::vector<std::uint8_t> secret{1, 2, 3};
  const auto bytes = test::get(
      CborWriter(64).array(2).map(2).key(0).bytes(secret).key(500).text("x").boolean(false).finish(
          "it"));
  CborReader in(bytes, "a test");
  EXPECT_EQ(test::get(in.array("it", 2)), 2U);
  ASSERT_TRUE(in.begin_map("the map", 2).ok());
  ASSERT_TRUE(in.key(0, "the secret").ok());
  EXPECT_TRUE(std::ranges::equal(test::get(in.bytes("the secret", 3)), secret));
  ASSERT_TRUE(in.has_key(500));
  EXPECT_EQ(test::get(in.text("the name", 1)), "x");
  EXPECT_TRUE(in.end_map("the map").ok());
  EXPECT_FALSE(test::get(in.boolean("the switch")));
  EXPECT_TRUE(in.end().ok());
}

}  // namespace
}  // namespace cs
