// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/statement_check.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "nfq-signer/batch.h"
#include "nfq-signer/key_from_keyms.h"
#include "tests/unit/signer_messages.h"

namespace cs::keyms {
namespace {

constexpr LaneRange lanes{4, 6};

// As the data plane makes it.
Statement statement(std::uint64_t batch, std::uint16_t lane = 5,
                    const KeyScope& scope = test::key_scope(), std::uint16_t count = 3) {
  return make_statement(scope_from(scope), BatchId{batch, lane, count, test::counted<16>(0xc0)},
                        test::counted<32>(0xd0));
}

class StatementCheckTest : public testing::Test {
 protected:
  StatementCheck check_{test::key_scope(), lanes};
};

TEST_F(StatementCheckTest, AdmitsWhatTheDataPlaneMakes) {
  for (const Suite suite :
       {Suite::p256_node16, Suite::p256_node32, Suite::ed25519_node16, Suite::ed25519_node32}) {
    const KeyScope scope = test::key_scope(suite);
    StatementCheck check(scope, lanes);
    EXPECT_EQ(check.admit(statement(0, 5, scope)), SignStatus::done);
  }
}

TEST_F(StatementCheckTest, EachFieldHasARefusalOfItsOwn) {
  const auto with = [](auto change) {
    KeyScope scope = test::key_scope();
    change(scope);
    return statement(0, 5, scope);
  };
  EXPECT_EQ(check_.admit(with([](KeyScope& s) { s.suite = Suite::p256_node32; })),
            SignStatus::other_suite);
  EXPECT_EQ(check_.admit(with([](KeyScope& s) { s.suite = Suite::ed25519_node16; })),
            SignStatus::other_suite);
  EXPECT_EQ(check_.admit(with([](KeyScope& s) { s.session[31] ^= 1; })), SignStatus::other_session);
  EXPECT_EQ(check_.admit(with([](KeyScope& s) { s.direction = 0; })), SignStatus::other_direction);
  EXPECT_EQ(check_.admit(with([](KeyScope& s) { s.key ^= 1; })), SignStatus::other_key);
  EXPECT_EQ(check_.admit(with([](KeyScope& s) { s.pcr_digest[0] ^= 1; })), SignStatus::other_pcr);
  EXPECT_EQ(check_.admit(statement(0, 3)), SignStatus::lane_not_allowed);
  EXPECT_EQ(check_.admit(statement(0, 7)), SignStatus::lane_not_allowed);
  EXPECT_EQ(check_.admit(statement(0, 5, test::key_scope(), 0)), SignStatus::not_a_statement);
  EXPECT_EQ(check_.admit(statement(0, 5, test::key_scope(), 32769)), SignStatus::not_a_statement);
  EXPECT_EQ(check_.admit(statement(0, 5, test::key_scope(), 32768)), SignStatus::done)
      << "nothing refused may use up a number";
}

// Everything but salt and root says what keymsd knows: no bit of it may be another.
TEST_F(StatementCheckTest, EveryBitThatMeansSomethingCounts) {
  const Statement good = statement(0);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    const std::size_t byte = bit / 8;
    const bool free = (byte >= 61 && byte < 89) || byte >= 121;  // lane, batch, count, salt; root
    if (free) continue;
    Statement bad = good;
    bad[byte] = static_cast<std::uint8_t>(bad[byte] ^ (1U << bit % 8));
    EXPECT_NE(check_.admit(bad), SignStatus::done) << "byte " << byte;
  }
  EXPECT_EQ(check_.admit(good), SignStatus::done);
}

TEST_F(StatementCheckTest, EveryOtherLengthIsRefused) {
  const Statement good = statement(0);
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(check_.admit(ByteView(good).first(size)), SignStatus::not_a_statement);
  std::vector<std::uint8_t> longer(good.begin(), good.end());
  longer.push_back(0);
  EXPECT_EQ(check_.admit(longer), SignStatus::not_a_statement);
}

TEST_F(StatementCheckTest, ABatchIsSignedOnceAndInOrder) {
  EXPECT_EQ(check_.admit(statement(7)), SignStatus::done);
  EXPECT_EQ(check_.admit(statement(7)), SignStatus::batch_repeated) << "even the same bytes";
  EXPECT_EQ(check_.admit(statement(7, 5, test::key_scope(), 9)), SignStatus::batch_repeated);
  EXPECT_EQ(check_.admit(statement(6)), SignStatus::batch_repeated);
  EXPECT_EQ(check_.admit(statement(8)), SignStatus::done);
  EXPECT_EQ(check_.admit(statement(1000)), SignStatus::done) << "gaps are a signer's own affair";
}

TEST_F(StatementCheckTest, EachLaneCountsForItself) {
  for (const std::uint16_t lane : std::to_array<std::uint16_t>({4, 5, 6})) {
    EXPECT_EQ(check_.admit(statement(0, lane)), SignStatus::done);
    EXPECT_EQ(check_.admit(statement(0, lane)), SignStatus::batch_repeated);
  }
}

TEST_F(StatementCheckTest, TheLastNumberDoesNotWrap) {
  constexpr auto last = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(check_.admit(statement(last)), SignStatus::done);
  for (const std::uint64_t batch : {std::uint64_t{0}, std::uint64_t{1}, last})
    EXPECT_EQ(check_.admit(statement(batch)), SignStatus::batch_repeated);
}

TEST_F(StatementCheckTest, AllLanesThereAre) {
  StatementCheck check(test::key_scope(), {0, 0xffff});
  EXPECT_EQ(check.admit(statement(0, 0)), SignStatus::done);
  EXPECT_EQ(check.admit(statement(0, 0xffff)), SignStatus::done);
  EXPECT_EQ(check.admit(statement(0, 0xffff)), SignStatus::batch_repeated);
}

TEST(StatementCheckDeathTest, NoLanesAreABrokenContract) {
  EXPECT_DEATH(StatementCheck(test::key_scope(), {2, 1}), "no lanes");
}

}  // namespace
}  // namespace cs::keyms
