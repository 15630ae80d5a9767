// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include "keyms/store/book.h"
#include "tests/unit/stores.h"

namespace {

using cs::ErrorKind;
using cs::keyms::Book;
using cs::keyms::Clear;
using cs::keyms::PolicyState;
using cs::test::digest_of;
using cs::test::get;
using cs::test::sample_book;
using cs::test::sample_clear;
using cs::test::sample_policy;

std::vector<std::uint8_t> encoded(const Book& book) {
  return get(book.encode(digest_of(1)));
}
std::vector<PolicyState> states(const Book& book) {
  std::vector<PolicyState> states;
  for (const auto& kept : book.policies()) states.push_back(kept.state);
  return states;
}

TEST(Book, OnePolicyPerPeerIsInForce) {
  Book book = sample_book(1);
  get(book.agree(sample_policy(1, "cairo")));
  get(book.put_in_force("cairo", 1));
  get(book.put_in_force("berlin", 2));
  EXPECT_EQ(states(book),
            (std::vector{PolicyState::retired, PolicyState::in_force, PolicyState::in_force}));
  EXPECT_EQ(book.in_force("berlin")->version, 2);
  EXPECT_EQ(book.in_force("cairo")->version, 1);
  EXPECT_EQ(book.in_force("delhi"), nullptr);
  EXPECT_EQ(book.core_properties(), (std::vector{digest_of(1), digest_of(2)}));
  book.retire("berlin");
  EXPECT_EQ(book.in_force("berlin"), nullptr);
  EXPECT_EQ(book.core_properties(), std::vector{digest_of(1)});
}

TEST(Book, NoVersionBelowTheHighestRunComesBack) {
  Book book = sample_book(5);
  EXPECT_EQ(book.agree(sample_policy(5)).error().kind(), ErrorKind::denied);
  EXPECT_EQ(book.agree(sample_policy(4)).error().kind(), ErrorKind::denied);
  get(book.agree(sample_policy(7)));
  get(book.put_in_force("berlin", 7));
  EXPECT_EQ(book.put_in_force("berlin", 6).error().kind(), ErrorKind::denied);  // agreed before
  EXPECT_EQ(book.put_in_force("berlin", 5).error().kind(), ErrorKind::denied);  // retired
  get(book.put_in_force("berlin", 7));                                          // is it already
  book.retire("berlin");
  EXPECT_EQ(book.put_in_force("berlin", 7).error().kind(), ErrorKind::denied);
  // Nor when all that was known of it is forgotten.
  for (const std::uint64_t version : {5U, 6U, 7U}) get(book.forget("berlin", version));
  EXPECT_EQ(book.highest_run("berlin"), 7);
  EXPECT_EQ(book.agree(sample_policy(6)).error().kind(), ErrorKind::denied);
  const Book again = get(Book::decode(encoded(book), digest_of(1)));
  EXPECT_EQ(again.highest_run("berlin"), 7);
}

TEST(Book, TwoPoliciesOfOneVersionAreNotAgreed) {
  Book book = sample_book(1);
  get(book.agree(sample_policy(2)));
  auto other = sample_policy(2);
  other.core_properties = digest_of(99);
  EXPECT_EQ(book.agree(other).error().kind(), ErrorKind::exists);
  EXPECT_EQ(book.agree(sample_policy(3, "No NeID")).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(book.put_in_force("berlin", 9).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(book.forget("berlin", 1).error().kind(), ErrorKind::denied);
}

TEST(Book, IsBounded) {
  Book book;
  for (std::uint64_t version = 1; version <= cs::keyms::most_policies; ++version) {
    get(book.agree(sample_policy(version)));
  }
  EXPECT_EQ(book.agree(sample_policy(1000)).error().kind(), ErrorKind::limit);
  for (std::size_t i = 0; i < 2 * Book::most_approvals; ++i) {
    get(book.note_approval({digest_of(static_cast<std::uint8_t>(i)), cs::WallTime()}));
  }
  EXPECT_EQ(book.approvals().size(), Book::most_approvals);
  EXPECT_TRUE(Book::decode(encoded(book), digest_of(1)).ok());
  auto large = sample_policy(1, "cairo");
  large.agreement.resize(cs::keyms::KeptPolicy::most_agreement + 1);
  Book many;
  EXPECT_EQ(many.agree(large).error().kind(), ErrorKind::limit);
  cs::Result<void> agreed;
  large.agreement.pop_back();
  for (; agreed.ok(); ++large.version) agreed = many.agree(large);
  EXPECT_EQ(agreed.error().kind(), ErrorKind::limit);
  EXPECT_TRUE(many.encode(digest_of(1)).ok());
}

TEST(Book, IsReadAsItWasWrittenAndWithItsClearPartOnly) {
  const Book book = sample_book(3);
  const Book again = get(Book::decode(encoded(book), digest_of(1)));
  EXPECT_EQ(encoded(again), encoded(book));
  EXPECT_EQ(again.policies().at(0).agreement, book.policies().at(0).agreement);
  EXPECT_EQ(again.approvals().at(0).taken, book.approvals().at(0).taken);
  EXPECT_EQ(Book::decode(encoded(book), digest_of(2)).error().kind(), ErrorKind::unverified);
}

// Whatever a changed byte makes of it, it is refused or is another book, which is written as read.
TEST(Book, NothingHasTwoForms) {
  const auto good = encoded(sample_book(3));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const unsigned bit : {0U, 3U, 7U}) {
      auto bytes = good;
      bytes[at] ^= static_cast<std::uint8_t>(1U << bit);
      const auto book = Book::decode(bytes, digest_of(1));
      EXPECT_TRUE(!book.ok() || encoded(*book) == bytes) << at;
    }
    EXPECT_FALSE(Book::decode(cs::ByteView(good).first(at), digest_of(1)).ok());
  }
}

TEST(Book, StatesThatCannotBeAreRefused) {
  const auto good = encoded(sample_book(3));
  // The state of version 3, which is in force: {…, 3: 2, …}; of version 4, agreed.
  std::vector<std::size_t> places;
  for (std::size_t at = 0; at + 2 < good.size(); ++at) {
    if (good[at] == 3 && good[at + 2] == 4 && good[at + 3] == 0x59) places.push_back(at + 1);
  }
  ASSERT_EQ(places.size(), 2);
  auto two_in_force = good;
  two_in_force[places[1]] = 2;
  EXPECT_FALSE(Book::decode(two_in_force, digest_of(1)).ok());
  auto never_run = good;
  never_run[places[1]] = 3;
  EXPECT_FALSE(Book::decode(never_run, digest_of(1)).ok());
  auto unknown = good;
  unknown[places[1]] = 4;
  EXPECT_FALSE(Book::decode(unknown, digest_of(1)).ok());
}

TEST(Clear, IsReadAsItWasWrittenAndHasNoSecondForm) {
  Clear clear = sample_clear();
  clear.core_properties = {digest_of(1), digest_of(2)};
  const auto good = get(clear.encode());
  EXPECT_EQ(get(get(Clear::decode(good)).encode()), good);
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto bytes = good;
    bytes[at] ^= 1;
    const auto read = Clear::decode(bytes);
    EXPECT_TRUE(!read.ok() || get(read->encode()) == bytes) << at;
    EXPECT_FALSE(Clear::decode(cs::ByteView(good).first(at)).ok());
  }
}

TEST(Clear, WhatCouldNotBeReadAgainIsNotWritten) {
  Clear clear = sample_clear();
  clear.ne_id = "Amsterdam";
  EXPECT_FALSE(clear.encode().ok());
  clear = sample_clear();
  clear.core_properties = {digest_of(2), digest_of(1)};
  EXPECT_FALSE(clear.encode().ok());
  clear = sample_clear();
  clear.attestation_key.public_part.resize(2049);
  EXPECT_FALSE(clear.encode().ok());
}

}  // namespace
