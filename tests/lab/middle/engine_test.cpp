// SPDX-License-Identifier: GPL-3.0-or-later
// The engine without a kernel: hostile packets, the clock, the limits. What it does to real
// traffic: tests/netns/middle_test.cpp.
#include "tests/lab/middle/engine.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace cs::middle {
namespace {

using test::Bytes;
using test::Verdict;
using Kind = Verdict::Kind;
using std::chrono::milliseconds;

class Middle : public testing::Test {
 protected:
  void plan(const Plan& plan) {
    engine_.emplace(
        plan, Output{[this](std::uint32_t id, const Verdict& v) { decided_.emplace_back(id, v); },
                     [this](ByteView packet) {
                       injected_.emplace_back(packet.begin(), packet.end());
                       return sends_;
                     }});
  }
  void take(std::uint32_t id, ByteView packet) {
    engine_->take({.id = id, .hook = 2, .mark = 0, .payload = packet}, now_);
  }
  void pass_time(milliseconds time) {
    now_ += time;
    engine_->tick(now_);
  }
  [[nodiscard]] std::vector<std::pair<std::uint32_t, Kind>> decisions() const {
    std::vector<std::pair<std::uint32_t, Kind>> all;
    for (const auto& [id, verdict] : decided_) all.emplace_back(id, verdict.kind);
    return all;
  }
  [[nodiscard]] const Statistics& statistics() const { return engine_->statistics(); }

  const Bytes v4_ = test::esp_packet({.source = "192.0.2.1", .target = "192.0.2.2"});
  const Bytes v6_ = test::esp_packet({.source = "2001:db8::1", .target = "2001:db8::2"});
  Engine::Time now_;
  std::optional<Engine> engine_;
  std::vector<std::pair<std::uint32_t, Verdict>> decided_;
  std::vector<Bytes> injected_;
  bool sends_ = true;
};

TEST_F(Middle, MalformedIsDroppedAndCountedWhateverTheAction) {
  for (const Action action : {Action::pass, Action::drop, Action::duplicate, Action::reorder,
                              Action::corrupt, Action::replay, Action::atomic}) {
    plan({.action = action});
    decided_.clear();
    std::uint32_t id = 0;
    for (const Bytes& packet : {v4_, v6_}) {
      for (std::size_t size = 0; size < packet.size(); ++size) {
        take(++id, ByteView(packet).first(size));
        ASSERT_EQ(decisions().back(), std::pair(id, Kind::drop));
      }
    }
    EXPECT_EQ(statistics().malformed, v4_.size() + v6_.size());
    EXPECT_EQ(statistics().seen + statistics().acted, 0U);
    EXPECT_TRUE(injected_.empty());
  }
}

TEST_F(Middle, TheOtherFamilyPassesUncounted) {
  plan({.action = Action::drop, .family = test::Family::v6});
  take(1, v4_);
  take(2, v6_);
  EXPECT_EQ(decisions(), (std::vector{std::pair{1U, Kind::accept}, std::pair{2U, Kind::drop}}));
  EXPECT_EQ(statistics().seen, 1U);
}

TEST_F(Middle, LimitEndsTheActing) {
  plan({.action = Action::drop, .every = 2, .limit = 2});
  for (std::uint32_t id = 1; id <= 8; ++id) take(id, v4_);
  std::vector<std::uint32_t> dropped;
  for (const auto& [id, kind] : decisions()) {
    if (kind == Kind::drop) dropped.push_back(id);
  }
  EXPECT_EQ(dropped, (std::vector<std::uint32_t>{2, 4}));
  EXPECT_EQ(statistics().seen, 8U);
  EXPECT_EQ(statistics().acted, 2U);
}

TEST_F(Middle, HeldIsOvertakenOnce) {
  plan({.action = Action::reorder});
  for (std::uint32_t id = 1; id <= 4; ++id) take(id, v4_);
  std::vector<std::uint32_t> order;
  for (const auto& [id, kind] : decisions()) order.push_back(id);
  EXPECT_EQ(order, (std::vector<std::uint32_t>{2, 1, 4, 3}));
  EXPECT_FALSE(engine_->deadline());
}

TEST_F(Middle, HeldIsReleasedAfter50Milliseconds) {
  plan({.action = Action::reorder});
  take(1, v4_);
  EXPECT_EQ(engine_->deadline(), now_ + milliseconds(50));
  pass_time(milliseconds(49));
  EXPECT_TRUE(decided_.empty());
  pass_time(milliseconds(1));
  EXPECT_EQ(decisions(), (std::vector{std::pair{1U, Kind::accept}}));
}

TEST_F(Middle, HeldIsReleasedAtTheEnd) {
  plan({.action = Action::reorder});
  take(1, v4_);
  engine_->finish();
  EXPECT_EQ(decisions(), (std::vector{std::pair{1U, Kind::accept}}));
}

TEST_F(Middle, CorruptsOneBitAndOnlyBehindTheHeader) {
  for (const Bytes& packet : {v4_, v6_}) {
    const std::size_t header = test::parse_ip(packet)->header_size;
    const auto size = static_cast<std::int64_t>(packet.size() - header);
    for (std::int64_t offset = -size - 2; offset < size + 2; ++offset) {
      plan({.action = Action::corrupt, .offset = offset});
      decided_.clear();
      take(1, packet);
      const auto& verdict = decided_.at(0).second;
      EXPECT_EQ(verdict.kind, Kind::accept);
      const bool inside = offset >= -size && offset < size;
      ASSERT_EQ(verdict.replacement.has_value(), inside) << offset;
      EXPECT_EQ(statistics().acted, inside ? 1U : 0U);
      if (!inside) continue;
      Bytes expected = packet;
      expected[header + static_cast<std::size_t>(offset < 0 ? size + offset : offset)] ^= 1;
      EXPECT_EQ(*verdict.replacement, expected);
    }
  }
}

TEST_F(Middle, AtomicFragmentHeaderStandsBehindTheFixedHeader) {
  plan({.action = Action::atomic});
  take(1, v4_);
  take(2, v6_);
  EXPECT_EQ(statistics().acted, 1U);
  EXPECT_FALSE(decided_.at(0).second.replacement.has_value());
  const Bytes& changed = decided_.at(1).second.replacement.value();
  Bytes expected = v6_;
  expected[6] = 44;
  expected[5] = static_cast<std::uint8_t>(expected[5] + 8);
  const Bytes header{v6_[6], 0, 0, 0, 0, 0, 0, 1};
  expected.insert(expected.begin() + 40, header.begin(), header.end());
  EXPECT_EQ(changed, expected);
}

TEST_F(Middle, ReplaysOnceAfter200Milliseconds) {
  plan({.action = Action::replay});
  take(1, v4_);
  EXPECT_EQ(decisions(), (std::vector{std::pair{1U, Kind::accept}}));
  pass_time(milliseconds(199));
  EXPECT_TRUE(injected_.empty());
  pass_time(milliseconds(1));
  EXPECT_EQ(injected_, std::vector<Bytes>{v4_});
  pass_time(milliseconds(1000));
  EXPECT_EQ(injected_.size(), 1U);
}

TEST_F(Middle, RemembersAtMost64) {
  plan({.action = Action::replay});
  for (std::uint32_t id = 1; id <= 100; ++id) take(id, v4_);
  EXPECT_EQ(decided_.size(), 100U);
  pass_time(milliseconds(200));
  EXPECT_EQ(injected_.size(), 64U);
  EXPECT_EQ(statistics().acted, 64U);
  take(101, v4_);
  EXPECT_EQ(statistics().acted, 65U);
}

TEST_F(Middle, RefusedCopiesAreCountedApart) {
  plan({.action = Action::duplicate});
  sends_ = false;
  take(1, v4_);
  EXPECT_EQ(statistics().acted, 1U);
  EXPECT_EQ(statistics().reinjected, 0U);
  EXPECT_EQ(statistics().failed, 1U);
}

}  // namespace
}  // namespace cs::middle
