// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/fingerprint.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/unwrap.h"

namespace {

using cs::fingerprint_text;
using cs::is_fingerprint_of;
using cs::parse_fingerprint;
using cs::test::get;

using Bytes = std::vector<std::uint8_t>;

Bytes some_hash(std::mt19937& random) {
  Bytes hash(32);
  for (std::uint8_t& byte : hash) byte = static_cast<std::uint8_t>(random());
  return hash;
}

std::string refused(const std::string& text) {
  const auto parsed = parse_fingerprint(text);
  return parsed.ok() ? "" : parsed.error().message();
}

TEST(Fingerprint, ComesBackHoweverItIsTyped) {
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    const Bytes hash = some_hash(random);
    const std::string text = fingerprint_text(hash);
    ASSERT_EQ(text.size(), 55U);
    std::string together;
    std::string dashes = " ";
    for (const char c : text) {
      if (c != ' ') together += c;
      dashes += c == ' ' ? "-\n" : std::string(1, c);
    }
    for (const std::string& typed : {text, together, dashes + "\n"}) {
      EXPECT_TRUE(is_fingerprint_of(get(parse_fingerprint(typed)), hash)) << typed;
    }
    EXPECT_FALSE(is_fingerprint_of(get(parse_fingerprint(text)), some_hash(random)));
  }
  // Held by anybody who writes a second implementation: place 1, then the digits, by Damm's table.
  EXPECT_EQ(fingerprint_text(Bytes(32)), "000002 000004 000006 000009 000003 000005 000008 000007");
}

// Every single wrong digit and every pair of neighbours in the wrong order, and where.
TEST(Fingerprint, ASlipIsSeenInItsGroup) {
  std::mt19937 random(2);
  for (int i = 0; i < 20; ++i) {
    const std::string text = fingerprint_text(some_hash(random));
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] == ' ') continue;
      const std::string group = "group " + std::to_string(at / 7 + 1) + " of the fingerprint";
      for (char digit = '0'; digit <= '9'; ++digit) {
        if (digit == text[at]) continue;
        std::string slip = text;
        slip[at] = digit;
        EXPECT_EQ(refused(slip).find(group), 0U) << slip;
      }
      std::string swapped = text;
      if (at % 7 == 5 || swapped[at] == swapped[at + 1]) continue;
      std::swap(swapped[at], swapped[at + 1]);
      EXPECT_EQ(refused(swapped).find(group), 0U) << swapped;
    }
  }
}

TEST(Fingerprint, GroupsInAnotherOrderAreSeen) {
  std::mt19937 random(3);
  for (int i = 0; i < 20; ++i) {
    const std::string text = fingerprint_text(some_hash(random));
    for (std::size_t a = 0; a < 8; ++a) {
      for (std::size_t b = a + 1; b < 8; ++b) {
        if (text.compare(a * 7, 5, text, b * 7, 5) == 0) continue;
        std::string swapped = text;
        for (std::size_t k = 0; k < 6; ++k) std::swap(swapped[a * 7 + k], swapped[b * 7 + k]);
        EXPECT_EQ(refused(swapped).find("group " + std::to_string(a + 1)), 0U) << swapped;
      }
    }
  }
}

TEST(Fingerprint, WhatIsMissingOrTooMuchIsTold) {
  const std::string text = fingerprint_text(Bytes(32));
  EXPECT_EQ(refused(""), "the fingerprint has 0 groups of digits, not 8");
  EXPECT_EQ(refused(text.substr(7)).find("group 1 "), 0U);
  EXPECT_EQ(refused(text.substr(0, 48)), "the fingerprint has 7 groups of digits, not 8");
  EXPECT_EQ(refused(text + " 0"), "the fingerprint has more than 8 groups");
  EXPECT_EQ(refused("00000x" + text.substr(6)),
            "group 1 of the fingerprint, '00000x', has something in it that is no digit; have that "
            "group read aloud again");
  EXPECT_NE(refused("00003" + text.substr(6)).find("has 5 digits, not 6"), std::string::npos);
  // Two bytes are no more than 65535, whatever the check digit says.
  std::string large = text;
  for (char check = '0'; check <= '9'; ++check) {
    large.replace(0, 6, std::string("65536") + check);
    EXPECT_EQ(refused(large).find("group 1 "), 0U);
  }
  EXPECT_FALSE(parse_fingerprint(std::string(100000, ' ') + std::string(100000, '7')).ok());
}

}  // namespace
