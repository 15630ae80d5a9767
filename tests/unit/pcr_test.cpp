// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/pcr.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/unwrap.h"

namespace {

using cs::test::get;
using cs::tpm::Digest;
using cs::tpm::HashAlgorithm;
using cs::tpm::Hasher;
using cs::tpm::PcrSelection;
using cs::tpm::PcrValues;

TEST(Hash, EveryAlgorithmHasItsNameItsNumberAndItsSize) {
  for (const auto algorithm : cs::tpm::all_hash_algorithms) {
    EXPECT_EQ(cs::tpm::hash_algorithm(to_string(algorithm)), algorithm);
    EXPECT_EQ(cs::tpm::hash_algorithm(static_cast<std::uint16_t>(algorithm)), algorithm);
    EXPECT_EQ(Hasher(algorithm).hash({}).bytes().size(), digest_size(algorithm));
  }
  EXPECT_FALSE(cs::tpm::hash_algorithm("sha2"));
  EXPECT_FALSE(cs::tpm::hash_algorithm(std::uint16_t{0x27}));  // sha3_256, not yet in any bank
}

TEST(Hash, IsThePublishedOne) {
  constexpr std::array<std::uint8_t, 3> abc{'a', 'b', 'c'};
  EXPECT_EQ(Hasher(HashAlgorithm::sha256).hash({abc}).hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Hasher(HashAlgorithm::sha1).hash({abc}).hex(),
            "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(Digest, HasItsAlgorithmsLength) {
  const std::array<std::uint8_t, 20> twenty{};
  EXPECT_TRUE(Digest::from(HashAlgorithm::sha1, twenty).ok());
  const auto refused = Digest::from(HashAlgorithm::sha256, twenty);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message(), "a sha256 digest has 32 bytes, not 20");
}

TEST(Pcr, ExtendHashesTheOldValueWithTheNew) {
  Hasher hasher(HashAlgorithm::sha256);
  Digest value(HashAlgorithm::sha256);
  cs::tpm::extend(hasher, value, Digest(HashAlgorithm::sha256));
  // SHA-256 of 64 zero bytes: PCR of one zero digest, as any TPM shows it.
  EXPECT_EQ(value.hex(), "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
}

TEST(Pcr, SelectionsAreWrittenAsTheyAreRead) {
  for (const std::string text : {"sha256:0", "sha256:0,1,7,23+sha1:10"}) {
    EXPECT_EQ(get(PcrSelection::parse(text)).text(), text);
  }
  EXPECT_EQ(get(PcrSelection::parse("sha1:all")).banks.front().registers, 0xffffffU);
  for (const std::string text : {"", "sha256", "sha256:", "sha256:24", "sha256:0,", "sha256:-1",
                                 "sha256:0+", "sha256:0+sha256:1", "md5:0", "sha256:0,,1"}) {
    EXPECT_FALSE(PcrSelection::parse(text).ok()) << text;
  }
}

TEST(Pcr, ValuesAreWrittenAsTheyAreRead) {
  const std::string zeros(64, '0');
  const std::string text = "sha256:0=" + zeros + "\nsha256:23=" + std::string(64, 'f') + "\n";
  EXPECT_EQ(get(PcrValues::parse(text)).text(), text);
  EXPECT_EQ(get(PcrValues::parse("# a comment\r\n\n" + text)).text(), text);
  const std::array<std::string, 6> wrong{"sha256:0=" + zeros + "\nsha256:0=" + zeros,
                                         "sha256:24=" + zeros,
                                         "sha1:0=" + zeros,
                                         "sha256:0=" + zeros.substr(2),
                                         "sha256:0",
                                         "nonsense"};
  for (const auto& refused : wrong) EXPECT_FALSE(PcrValues::parse(refused).ok()) << refused;
  EXPECT_FALSE(PcrValues::parse(std::string(70000, '\n')).ok());
}

TEST(Pcr, ACompositeFollowsTheSelectionsOrder) {
  PcrValues values;
  get(values.set(0, Digest(HashAlgorithm::sha256)));
  get(values.set(1, Digest(HashAlgorithm::sha256)));
  get(values.set(0, Digest(HashAlgorithm::sha1, 0xff)));
  const auto composite = [&](std::string_view selection) {
    return get(values.composite(get(PcrSelection::parse(selection)), HashAlgorithm::sha256));
  };
  EXPECT_EQ(composite("sha256:0,1").hex(),
            "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
  EXPECT_NE(composite("sha256:0+sha1:0"), composite("sha1:0+sha256:0"));
  const auto unknown =
      values.composite(get(PcrSelection::parse("sha256:2")), HashAlgorithm::sha256);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().message(), "the value of PCR 2 of the bank sha256 is not known");
  EXPECT_FALSE(values.composite({}, HashAlgorithm::sha256).ok());
  EXPECT_FALSE(values.set(24, Digest(HashAlgorithm::sha1)).ok());
}

}  // namespace
