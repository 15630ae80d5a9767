// SPDX-License-Identifier: GPL-3.0-or-later
// The mirror of a kernel whose tables change at any moment, also while they are read.
#include "xfrm/watch/mirror.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

#include "tests/support/unwrap.h"
#include "tests/unit/fake_xfrm.h"

namespace cs::xfrm {
namespace {

using test::a_policy;
using test::an_sa;
using test::FakeKernel;
using test::get;
using How = Change::How;
using Kind = Event::Kind;

std::vector<std::uint32_t> indices(const auto& policies) {
  std::vector<std::uint32_t> found;
  for (const Policy& policy : policies) found.push_back(policy.index);
  return found;
}

void expect_equal(Mirror& mirror, const FakeKernel& kernel, const std::string& when) {
  const State& state = mirror.state();
  ASSERT_EQ(indices(state.policies), indices(kernel.policies())) << when;
  ASSERT_TRUE(std::ranges::equal(state.policies, kernel.policies(), [](auto& a, auto& b) {
    return same(a, b);
  })) << when;
  ASSERT_EQ(state.sas.size(), kernel.sas().size()) << when;
  for (const Sa& sa : kernel.sas()) {
    const auto found = std::ranges::find_if(state.sas, [&](auto& one) { return one.id == sa.id; });
    ASSERT_TRUE(found != state.sas.end() && same(*found, sa)) << when << ": SPI " << sa.id.spi;
  }
}

class MirrorTest : public testing::Test {
 protected:
  Mirror open() {
    kernel_.forget_events();
    return get(Mirror::open(kernel_, [this](const Change& change) { told_.push_back(change); }));
  }
  void follow(Mirror& mirror) {
    kernel_.deliver();
    while (get(mirror.follow())) {
    }
  }
  void audit(Mirror& mirror) {
    get(mirror.begin_audit());
    follow(mirror);
    get(mirror.end_audit());
  }
  std::size_t count(How how) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(told_, [&](const Change& change) { return change.how == how; }));
  }

  FakeKernel kernel_;
  std::vector<Change> told_;
};

TEST_F(MirrorTest, BeginsWithWhatIsThere) {
  kernel_.add_sa(an_sa(1));
  kernel_.put_policy(a_policy(9, 1));
  kernel_.put_policy(a_policy(17, 2));
  Mirror mirror = open();
  EXPECT_EQ(indices(mirror.state().policies), (std::vector<std::uint32_t>{17, 9}));
  EXPECT_EQ(mirror.state().sas.size(), 1U);
  EXPECT_TRUE(told_.empty());
}

TEST_F(MirrorTest, TellsAndAppliesWhatComes) {
  Mirror mirror = open();
  kernel_.add_sa(an_sa(1));
  kernel_.add_sa(an_sa(2, IPPROTO_AH));
  kernel_.flush_sas(IPPROTO_AH);
  kernel_.set_defaults({Action::allow, Action::block, Action::block});
  follow(mirror);
  EXPECT_EQ(count(How::told), 4U);
  ASSERT_EQ(mirror.state().sas.size(), 1U);
  EXPECT_EQ(mirror.state().sas[0].id.spi, 1U);
  EXPECT_EQ(mirror.state().defaults->out, Action::block);
  EXPECT_EQ(mirror.counters().events, 4U);
}

// What the event of an update says is what was asked for.
TEST_F(MirrorTest, ReadsAnUpdatedSaAnew) {
  kernel_.add_sa(an_sa(1));
  Mirror mirror = open();
  Sa update = an_sa(1);
  update.lifetime.hard_seconds = 60;
  kernel_.update_sa(update);
  follow(mirror);
  ASSERT_EQ(mirror.state().sas.size(), 1U);
  EXPECT_EQ(mirror.state().sas[0].aead->name, "rfc4106(gcm(aes))");
  EXPECT_EQ(mirror.state().sas[0].lifetime.hard_seconds, 60U);
}

TEST_F(MirrorTest, LeavesOutWhatIsStillNegotiated) {
  Sa larval = an_sa(1);
  larval.aead.reset();
  kernel_.put_silently(larval);
  Mirror mirror = open();
  EXPECT_TRUE(mirror.state().sas.empty());
  kernel_.remove_silently(larval.id);
  audit(mirror);
  EXPECT_TRUE(told_.empty());
}

TEST_F(MirrorTest, KeepsSocketPoliciesInAFlush) {
  Policy of_socket = a_policy(35, 0);
  of_socket.direction = Direction::socket_out;
  kernel_.put_policy(of_socket, true);
  kernel_.put_policy(a_policy(9, 1));
  Mirror mirror = open();
  kernel_.flush_policies();
  follow(mirror);
  EXPECT_EQ(indices(mirror.state().policies), (std::vector<std::uint32_t>{35}));
}

TEST_F(MirrorTest, AnAuditFindsWhatNoEventTold) {
  kernel_.add_sa(an_sa(1));
  kernel_.put_policy(a_policy(9, 1));
  kernel_.set_switches({{"all"}, {"eth0"}});
  Mirror mirror = open();
  Policy weak = a_policy(9, 1);
  weak.priority = 7;
  kernel_.put_policy(weak, true);
  kernel_.put_policy(a_policy(17, 2), true);
  kernel_.remove_silently(an_sa(1).id);
  kernel_.set_switches({{"all", true}, {"eth0"}, {"eth1"}});
  audit(mirror);
  ASSERT_EQ(told_.size(), 4U);
  EXPECT_EQ(count(How::found), 4U);
  EXPECT_EQ(told_[0].event.kind, Kind::sa_delete);
  EXPECT_EQ(told_[1].event.kind, Kind::policy_new);
  EXPECT_EQ(told_[2].event.kind, Kind::policy_update);
  EXPECT_TRUE(told_[3].interface->disable_xfrm);
  EXPECT_EQ(mirror.counters().repairs, 4U);
  expect_equal(mirror, kernel_, "after the audit");
  kernel_.set_switches({{"eth0"}});
  audit(mirror);
  ASSERT_EQ(told_.size(), 5U);
  EXPECT_EQ(told_[4].interface, InterfaceSwitches{"all"});
}

// The table has it, its event comes after the dump: nothing was missed.
TEST_F(MirrorTest, AnAuditWaitsForEventsUnderWay) {
  Mirror mirror = open();
  kernel_.add_sa(an_sa(1));
  get(mirror.begin_audit());
  EXPECT_TRUE(mirror.in_audit());
  EXPECT_TRUE(mirror.state().sas.empty());
  follow(mirror);
  get(mirror.end_audit());
  EXPECT_EQ(mirror.counters().repairs, 0U);
  EXPECT_EQ(mirror.counters().audits, 1U);
  expect_equal(mirror, kernel_, "after the audit");
}

TEST_F(MirrorTest, ReadsATableAgainThatMoved) {
  for (std::uint32_t spi = 1; spi <= 3; ++spi) kernel_.add_sa(an_sa(spi));
  kernel_.deliver();
  int dumps = 0;
  bool moved = false;
  kernel_.meanwhile = [&] {
    ++dumps;
    if (!std::exchange(moved, true)) kernel_.delete_sa(an_sa(2).id);
    kernel_.deliver();
  };
  Mirror mirror = open();
  EXPECT_GT(dumps, 7);  // once for each entry and table, and again
  EXPECT_FALSE(mirror.take_doubt());
  expect_equal(mirror, kernel_, "read again");
}

TEST_F(MirrorTest, OfATableThatNeverRestsIsInDoubt) {
  for (std::uint32_t spi = 1; spi <= 3; ++spi) kernel_.add_sa(an_sa(spi));
  std::uint32_t spi = 3;
  kernel_.meanwhile = [&] {
    kernel_.add_sa(an_sa(++spi));
    kernel_.delete_sa(an_sa(spi - 2).id);
    kernel_.deliver();
  };
  Mirror mirror = open();
  kernel_.meanwhile = [] {};
  EXPECT_TRUE(mirror.take_doubt());
  EXPECT_FALSE(mirror.take_doubt());
  expect_equal(mirror, kernel_, "though it never rested");
}

TEST_F(MirrorTest, IsInDoubtAfterWhatItCannotRead) {
  Mirror mirror = open();
  for (const Kind kind : {Kind::unknown, Kind::migrate}) {
    Event event;
    event.kind = kind;
    kernel_.tell(event);
    follow(mirror);
    EXPECT_TRUE(mirror.take_doubt());
  }
}

TEST(MirrorLoss, IsToldAndRepaired) {
  FakeKernel kernel(4);
  std::vector<Change> told;
  Mirror mirror = get(Mirror::open(kernel, [&](const Change& change) { told.push_back(change); }));
  for (std::uint32_t spi = 1; spi <= 9; ++spi) kernel.add_sa(an_sa(spi));
  kernel.deliver();
  while (get(mirror.follow())) {
  }
  EXPECT_EQ(mirror.counters().lost, 1U);
  EXPECT_EQ(mirror.counters().events, 4U);
  EXPECT_EQ(mirror.counters().repairs, 5U);
  ASSERT_EQ(told.size(), 10U);
  EXPECT_EQ(told.front().how, How::lost);
  EXPECT_EQ(told.back().how, How::found);
  expect_equal(mirror, kernel, "after the loss");
}

// A thousand events, as of rekeyings, among so many SAs.
std::chrono::nanoseconds cost_among(std::uint32_t sas) {
  Tables tables;
  for (std::uint32_t spi = 0; spi < sas; ++spi) get(tables.add(an_sa(spi)));
  Event event;
  const auto begun = std::chrono::steady_clock::now();
  for (std::uint32_t spi = 0; spi < 500; ++spi) {
    event.kind = Kind::sa_delete;
    event.sa = an_sa(spi % sas);
    get(tables.apply(event));
    event.kind = Kind::sa_new;
    get(tables.apply(event));
  }
  return std::chrono::steady_clock::now() - begun;
}

TEST(Tables, AnEventCostsTheSameHoweverManySasThereAre) {
  const auto few = std::min({cost_among(100), cost_among(100), cost_among(100)});
  const auto many = std::min({cost_among(20'000), cost_among(20'000), cost_among(20'000)});
  EXPECT_LT(many, few * 30) << "for 200 times as many";
}

// Anything in any order, from few names, so that they meet.
class Chaos {
 public:
  Chaos(FakeKernel& kernel, unsigned seed, bool silent)
      : kernel_(kernel), random_(seed), silent_(silent) {}

  unsigned draw(unsigned below) { return static_cast<unsigned>(random_() % below); }

  void act() {
    const Sa sa = some_sa();
    const Policy policy = some_policy();
    switch (draw(silent_ ? 15 : 12)) {
      case 0:
      case 1:
        return kernel_.add_sa(sa);
      case 2:
        return kernel_.update_sa(sa);
      case 3:
        return kernel_.delete_sa(sa.id);
      case 4:
        return kernel_.expire_sa(sa.id, draw(2) == 0);
      case 5:
        return draw(8) == 0 ? kernel_.flush_sas(draw(2) == 0 ? 0 : IPPROTO_AH) : void();
      case 6:
      case 7:
      case 8:
        return kernel_.put_policy(policy);
      case 9:
        return kernel_.delete_policy(policy.index);
      case 10:
        return kernel_.delete_policy(policy.index, Kind::policy_expire);
      case 11:
        return draw(8) == 0 ? kernel_.flush_policies() : void();
      case 12:
        return kernel_.put_policy(policy, true);
      case 13:
        return kernel_.remove_silently(policy.index);
      default:
        return kernel_.put_silently(sa);
    }
  }
  // With events that come now or later.
  void act_and_deliver() {
    for (unsigned i = draw(3); i > 0; --i) act();
    if (draw(2) == 0) kernel_.deliver();
  }

 private:
  Sa some_sa() {
    Sa sa = an_sa(1 + draw(12), draw(4) == 0 ? IPPROTO_AH : IPPROTO_ESP);
    if (draw(4) == 0) sa.id.mark = {draw(2), 1};
    sa.lifetime.hard_seconds = draw(5);
    return sa;
  }
  Policy some_policy() {
    Policy policy = a_policy(8 + draw(12), static_cast<std::uint8_t>(draw(3)));
    policy.priority = draw(3);
    return policy;
  }

  FakeKernel& kernel_;
  std::minstd_rand random_;
  bool silent_;
};

struct Life {
  std::size_t room = 0;
  bool silent = false;
  bool audits = true;
};

void live_through(unsigned seed, const Life& life) {
  FakeKernel kernel(life.room);
  Chaos chaos(kernel, seed, life.silent);
  for (int i = 0; i < 40; ++i) chaos.act();
  kernel.deliver();
  kernel.meanwhile = [&] { chaos.act_and_deliver(); };
  Mirror mirror = get(Mirror::open(kernel, [](const Change&) {}));
  for (int turn = 0; turn < 60; ++turn) {
    chaos.act_and_deliver();
    if (chaos.draw(3) == 0) get(mirror.follow());
    if (life.audits && chaos.draw(12) == 0)
      get(mirror.in_audit() ? mirror.end_audit() : mirror.begin_audit());
  }
  kernel.meanwhile = [] {};
  kernel.deliver();
  while (get(mirror.follow())) {
  }
  get(mirror.end_audit());  // begun at a loss, it repairs that too
  if (life.audits) {
    get(mirror.begin_audit());
    get(mirror.end_audit());
  }
  expect_equal(mirror, kernel, "seed " + std::to_string(seed));
}

TEST(MirrorProperty, FollowedIsEqual) {
  for (unsigned seed = 1; seed <= 300; ++seed) live_through(seed, {.audits = false});
}

TEST(MirrorProperty, AuditedIsEqual) {
  for (unsigned seed = 1; seed <= 300; ++seed) live_through(seed, {.silent = true});
}

TEST(MirrorProperty, EqualAfterLosses) {
  for (unsigned seed = 1; seed <= 300; ++seed) live_through(seed, {.room = 5});
}

// Where every event comes, an audit that is ended after them finds nothing.
TEST(MirrorProperty, NothingIsFoundThatWasTold) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    FakeKernel kernel;
    Chaos chaos(kernel, seed, false);
    Mirror mirror = get(Mirror::open(kernel, [](const Change&) {}));
    kernel.meanwhile = [&] { chaos.act_and_deliver(); };
    for (int turn = 0; turn < 20; ++turn) {
      chaos.act_and_deliver();
      get(mirror.begin_audit());
      kernel.deliver();
      while (get(mirror.follow())) {
      }
      get(mirror.end_audit());
    }
    ASSERT_EQ(mirror.counters().repairs, 0U) << "seed " << seed;
    ASSERT_EQ(mirror.counters().audits, 20U) << "seed " << seed;
  }
}

}  // namespace
}  // namespace cs::xfrm
