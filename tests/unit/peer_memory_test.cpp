// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/peer_memory.h"

#include <gtest/gtest.h>

#include "tests/support/unwrap.h"

namespace {

using cs::keyms::Hash;
using cs::keyms::ImaMark;
using cs::keyms::PeerMemory;
using cs::test::get;

Hash filled(std::uint8_t with) {
  Hash hash{};
  hash.fill(with);
  return hash;
}

PeerMemory full() {
  PeerMemory memory;
  memory.attestation_key.bytes.assign(34, 1);
  memory.proven_under = filled(2);
  memory.clock = {123456789012, 7, 8, true};
  memory.firmware = ~std::uint64_t{0};
  memory.static_log = {3, filled(3)};
  memory.event_log = {1000000, filled(4)};
  memory.configuration = filled(5);
  memory.ima =
      ImaMark{5000, 700000, cs::tpm::HashAlgorithm::sha256, filled(6), filled(7), filled(8)};
  memory.acknowledged = 999;
  return memory;
}

TEST(PeerMemory, WhatIsWrittenIsReadAgain) {
  const PeerMemory memory = full();
  EXPECT_EQ(get(PeerMemory::decode(get(memory.encode()))), memory);
  PeerMemory little;
  little.attestation_key.bytes = {1};
  EXPECT_EQ(get(PeerMemory::decode(get(little.encode()))), little);
  for (int without = 0; without < 3; ++without) {
    PeerMemory some = full();
    if (without == 0) some.proven_under.reset();
    if (without == 1) some.configuration.reset();
    if (without == 2) some.ima.reset();
    EXPECT_EQ(get(PeerMemory::decode(get(some.encode()))), some);
  }
}

TEST(PeerMemory, OfNobodyThereIsNone) {
  EXPECT_FALSE(PeerMemory().encode().ok());
  PeerMemory memory;
  memory.attestation_key.bytes.assign(67, 1);
  EXPECT_FALSE(memory.encode().ok());
}

TEST(PeerMemory, NothingElseIsRead) {
  const auto good = get(full().encode());
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(PeerMemory::decode(cs::ByteView(good).first(size)).ok()) << size;
  }
  auto longer = good;
  longer.push_back(0);
  EXPECT_FALSE(PeerMemory::decode(longer).ok());
  auto other = good;
  other.at(2) = 2;  // the version
  EXPECT_FALSE(PeerMemory::decode(other).ok());
}

}  // namespace
