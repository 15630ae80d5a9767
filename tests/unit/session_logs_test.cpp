// SPDX-License-Identifier: GPL-3.0-or-later
// What a peer with a valid endpoint can make a run hold and do: the peer's logs up to most_pulled,
// a message each of hello and evidence, and what its host has not sent yet; and give its own logs
// twice, in gets that number at most (2 x sizes + slack) / 16384, within run_within.
#include <gtest/gtest.h>

#include "keyms/session/log_transfer.h"
#include "tests/unit/session_pair.h"

namespace cs::keyms {
namespace {

using test::SessionPair;
using test::StandInHost;

std::string first_code(const StandInHost& host) {
  return host.failures.empty() ? "" : host.failures.front().reasons.front().code;
}

// How many gets of this length of a log of this size are answered before one is refused.
std::uint64_t gets_until_refused(std::uint64_t size, std::uint32_t length, std::uint64_t offset) {
  LogAllowance allowance({size, 0, 0, 0, 0});
  std::uint64_t gets = 0;
  while (allowance.take({Log::boot, offset, length}).ok()) ++gets;
  return gets;
}

TEST(LogAllowance, IsTwiceTheSizesAndALittleMore) {
  constexpr std::uint64_t mib = 1024 * 1024;
  EXPECT_EQ(gets_until_refused(mib, 262144, 0), (2 * mib + LogAllowance::slack) / 262144);
  // Small ones are no cheaper.
  const std::uint64_t small = gets_until_refused(mib, 1, mib - 1);
  EXPECT_EQ(small, (2 * mib + LogAllowance::slack) / most_part);
  EXPECT_EQ(gets_until_refused(1, 1, 0), 20U);
  EXPECT_EQ(gets_until_refused(0, 1, 0), 0U);
}

TEST(LogAllowance, WhoPullsEachLogOnceNeedsHalfOfIt) {
  const std::array<std::uint64_t, log_count> sizes{700'000, 1, most_part, most_get + 1, 300};
  LogAllowance allowance(sizes);
  for (int round = 0; round < 2; ++round) {
    LogPull pull;
    std::vector<Wanted> all;
    for (std::size_t i = 0; i < log_count; ++i)
      all.push_back({static_cast<Log>(i), 0, sizes.at(i)});
    test::get(pull.want(all));
    while (const auto get = pull.next()) {
      EXPECT_TRUE(allowance.take(*get).ok()) << round;
      const Bytes bytes(get->length, 1);
      for (std::size_t at = 0; at < bytes.size(); at += most_part) {
        const ByteView rest = ByteView(bytes).subspan(at);
        const Part part{get->log, get->offset + at, rest.first(std::min(rest.size(), most_part))};
        EXPECT_EQ(test::get(pull.take(part)), rest.size() <= most_part);
      }
    }
    for (std::size_t i = 0; i < log_count; ++i) EXPECT_EQ(pull.logs().at(i).size(), sizes.at(i));
  }
}

TEST(LogAllowance, NothingBeyondTheSizeToldIsGiven) {
  LogAllowance allowance({100, 0, 0, 0, 0});
  for (const Get& beyond : {Get{Log::boot, 0, 101}, Get{Log::boot, 100, 1}, Get{Log::boot, 99, 2},
                            Get{Log::boot, ~std::uint64_t{0}, 2}, Get{Log::ima, 0, 1}}) {
    EXPECT_FALSE(allowance.take(beyond).ok()) << beyond.offset;
  }
  EXPECT_TRUE(allowance.take({Log::boot, 0, 100}).ok());
}

TEST(LogPull, TakesWhatItAskedForInPartsOfOneSize) {
  LogPull pull;
  test::get(pull.want({{Log::ima, 1000, 0}, {Log::events, 50, most_part + 10}}));
  const auto get = pull.next();
  ASSERT_TRUE(get);
  EXPECT_EQ(get->log, Log::events);
  EXPECT_EQ(get->offset, 50U);
  EXPECT_EQ(get->length, most_part + 10);
  const Bytes bytes(most_part, 1);
  const ByteView whole = bytes;
  const std::vector<Part> wrong{{Log::boot, 50, whole},
                                {Log::events, 0, whole},
                                {Log::events, 51, whole},
                                {Log::events, 50, whole.first(most_part - 1)},
                                {Log::events, 50, whole.first(1)}};
  for (const Part& part : wrong) EXPECT_FALSE(pull.take(part).ok());
  EXPECT_FALSE(test::get(pull.take({Log::events, 50, whole})));
  EXPECT_FALSE(pull.take({Log::events, 50, whole}).ok()) << "again";
  EXPECT_FALSE(pull.take({Log::events, 50 + most_part, whole.first(11)}).ok()) << "too much";
  EXPECT_TRUE(test::get(pull.take({Log::events, 50 + most_part, whole.first(10)})));
  EXPECT_FALSE(pull.next());
  EXPECT_FALSE(pull.take({Log::events, 60 + most_part, whole.first(1)}).ok()) << "one more";
  EXPECT_EQ(pull.pieces().at(2).size, most_part + 10);
  EXPECT_EQ(pull.pieces().at(3), (Wanted{Log::ima, 1000, 0})) << "nothing new, from where it was";
}

TEST(LogPull, IsBounded) {
  LogPull pull;
  EXPECT_TRUE(pull.want({{Log::ima, 0, most_pulled}}).ok());
  EXPECT_FALSE(pull.want({{Log::ima, 0, most_pulled + 1}}).ok());
  EXPECT_FALSE(pull.want({{Log::ima, 0, most_pulled}, {Log::boot, 0, 1}}).ok());
  EXPECT_FALSE(pull.want({{Log::ima, 0, ~std::uint64_t{0}}, {Log::boot, 0, 1}}).ok());
}

// The host of such a run would pull all of what it is told.
TEST(SessionLogs, SizesOfAnyKindHoldNoMemory) {
  for (const std::uint64_t size : {most_pulled + 1, std::uint64_t{1} << 63U, ~std::uint64_t{0}}) {
    SessionPair pair;
    pair.responder.wants = {{Log::ima, 0, size}};
    pair.initiator.spoil = [&](EvidenceMessage& evidence, const ShowRequest&) {
      evidence.sizes.fill(size);
    };
    pair.attest();
    EXPECT_TRUE(pair.responder.grants.empty());
    EXPECT_EQ(first_code(pair.responder), "evidence_too_long");
  }
}

}  // namespace
}  // namespace cs::keyms
