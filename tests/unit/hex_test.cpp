// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/hex.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/exact_buffer.h"

namespace cs {
namespace {

using test::ExactBuffer;

std::vector<std::uint8_t> every_byte() {
  std::vector<std::uint8_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

// The first `length` characters in memory of exactly that size.
Result<std::vector<std::uint8_t>> decode_prefix(const std::string& text, std::size_t length) {
  std::vector<std::uint8_t> characters(text.begin(),
                                       text.begin() + static_cast<std::ptrdiff_t>(length));
  const ExactBuffer exact{ByteView(characters)};
  return hex_decode({reinterpret_cast<const char*>(exact.view().data()), length}, 1000);
}

std::string refusal(std::string_view text, std::size_t limit) {
  const auto result = hex_decode(text, limit);
  return result.ok()
             ? "accepted"
             : std::string(to_string(result.error().kind())) + ": " + result.error().message();
}

TEST(Hex, EncodesInLowerCase) {
  const std::array<std::uint8_t, 4> bytes{0x00, 0x9a, 0xbc, 0xff};
  EXPECT_EQ(hex_encode(bytes), "009abcff");
  EXPECT_EQ(hex_encode({}), "");
}

TEST(Hex, DecodesWhatItEncodes) {
  const auto bytes = every_byte();
  EXPECT_EQ(hex_decode(hex_encode(bytes), 256).value(), bytes);
}

TEST(Hex, ReadsBothCases) {
  EXPECT_EQ(hex_decode("aBCdeF", 3).value(), (std::vector<std::uint8_t>{0xab, 0xcd, 0xef}));
}

TEST(Hex, TruncatedAtEveryLengthGivesWholeBytesOrARefusal) {
  const auto bytes = every_byte();
  const std::string text = hex_encode(bytes);
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const auto result = decode_prefix(text, length);
    if (length % 2 != 0) {
      ASSERT_FALSE(result.ok()) << length;
      EXPECT_EQ(result.error().kind(), ErrorKind::invalid);
    } else {
      ASSERT_TRUE(result.ok()) << length;
      EXPECT_EQ(result.value(),
                std::vector<std::uint8_t>(bytes.begin(),
                                          bytes.begin() + static_cast<std::ptrdiff_t>(length / 2)));
    }
  }
}

TEST(Hex, TellsWhereTheWrongCharacterIs) {
  for (std::size_t at = 0; at < 8; ++at) {
    std::string text = "01234567";
    text[at] = 'g';
    EXPECT_EQ(refusal(text, 4),
              "invalid: hex text: 'g' at offset " + std::to_string(at) + " is no hex digit");
  }
}

TEST(Hex, TellsTheFirstOfSeveral) {
  EXPECT_EQ(refusal("0x12zz", 4), "invalid: hex text: 'x' at offset 1 is no hex digit");
}

TEST(Hex, RefusesEveryCharacterThatIsNoDigit) {
  int accepted = 0;
  for (int code = 0; code < 256; ++code) {
    const std::string text{'0', static_cast<char>(code)};
    accepted += hex_decode(text, 1).ok() ? 1 : 0;
  }
  EXPECT_EQ(accepted, 22);
}

TEST(Hex, KeepsToTheLimit) {
  EXPECT_TRUE(hex_decode("00112233", 4).ok());
  EXPECT_EQ(refusal("0011223344", 4),
            "limit: hex text: 10 digits, at most 4 bytes are allowed here");
  EXPECT_EQ(refusal("00", 0), "limit: hex text: 2 digits, at most 0 bytes are allowed here");
  EXPECT_TRUE(hex_decode("", 0).ok());
}

}  // namespace
}  // namespace cs
