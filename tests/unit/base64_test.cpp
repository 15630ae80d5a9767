// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/base64.h"

#include <gtest/gtest.h>

#include <random>

namespace cs {
namespace {

ByteView view(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// RFC 4648, section 10.
TEST(Base64, IsAsTheRfcHasIt) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> all{
      {{"", ""},
       {"f", "Zg=="},
       {"fo", "Zm8="},
       {"foo", "Zm9v"},
       {"foob", "Zm9vYg=="},
       {"fooba", "Zm9vYmE="},
       {"foobar", "Zm9vYmFy"}}};
  for (const auto& [plain, text] : all) {
    EXPECT_EQ(base64_encode(view(plain)), text);
    const auto back = base64_decode(text, plain.size());
    ASSERT_TRUE(back.ok()) << text;
    EXPECT_EQ(std::string(back->begin(), back->end()), plain);
  }
}

TEST(Base64, EveryByteComesBack) {
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 600; ++size) {
    std::vector<std::uint8_t> bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const auto back = base64_decode(base64_encode(bytes), size);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, bytes);
  }
}

TEST(Base64, NoOtherTextIsRead) {
  for (const char* bad : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8", "Z", "=", "====", "Zm9v\n",
                          "Zm 9v", "Zm9v=", "Zg==Zg==", "Zm9-", "Zm9_", "Z===", "Zm9v===="}) {
    const auto read = base64_decode(bad, 100);
    ASSERT_FALSE(read.ok()) << bad;
    EXPECT_EQ(read.error().kind(), ErrorKind::invalid) << bad;
  }
}

TEST(Base64, IsBounded) {
  EXPECT_EQ(base64_decode("Zm9v", 2).error().kind(), ErrorKind::limit);
  EXPECT_EQ(base64_decode(std::string(400, 'A'), 3).error().kind(), ErrorKind::limit);
}

}  // namespace
}  // namespace cs
