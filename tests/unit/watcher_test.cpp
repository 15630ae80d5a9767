// SPDX-License-Identifier: GPL-3.0-or-later
// When the watcher audits and judges, and what it tells of.
#include "xfrm/watch/watcher.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"
#include "tests/unit/fake_xfrm.h"

namespace cs::xfrm {
namespace {

using namespace std::chrono_literals;
using test::a_policy;
using test::an_sa;
using test::FakeKernel;
using test::get;

SaName known(std::uint32_t spi) {
  return {an_sa(spi).id.destination, IPPROTO_ESP, spi};
}

class WatcherTest : public testing::Test {
 protected:
  void open() {
    kernel_.forget_events();
    WatchOptions options;
    options.judge = [this](const State& state) {
      ++judged_;
      std::vector<Difference> found;
      for (const Policy& policy : state.policies) {
        if (policy.templates.empty())
          found.push_back({Code::policy_bypass, "", std::to_string(policy.index)});
      }
      return found;
    };
    if (reconciles_) {
      options.known = [this]() -> Result<std::vector<SaName>> {
        ++asked_;
        if (silent_) return Error(ErrorKind::closed, "not today " + std::to_string(asked_));
        return known_;
      };
    }
    options.on_change = [this](const Change& change) { changes_.push_back(change); };
    options.on_drift = [this](const Difference& one, bool begun) {
      told_.push_back((begun ? "+" : "-") + std::string(meaning(one.code).name) + " " +
                      one.sentence);
    };
    watcher_ = get(Watcher::open(kernel_, clock_, std::move(options)));
  }
  // As a loop does it, for so long.
  void live(std::chrono::nanoseconds time) {
    const BootTime end = clock_.boot() + time;
    for (int turn = 0; clock_.boot() < end; ++turn) {
      ASSERT_LT(turn, 10'000) << "the deadline does not move";
      kernel_.deliver();
      get(watcher_->run());
      clock_.advance(std::max(0ns, std::min(watcher_->deadline(), end) - clock_.boot()));
    }
    kernel_.deliver();
    get(watcher_->run());
  }
  std::vector<std::string> told() { return std::exchange(told_, {}); }
  using Words = std::vector<std::string>;

  FakeKernel kernel_;
  test::ManualClock clock_;
  bool reconciles_ = false;
  bool silent_ = false;
  std::vector<SaName> known_;
  int asked_ = 0;
  int judged_ = 0;
  std::vector<Change> changes_;
  std::vector<std::string> told_;
  std::unique_ptr<Watcher> watcher_;
};

TEST_F(WatcherTest, TellsDriftOnceWhenItBeginsAndWhenItEnds) {
  kernel_.put_policy(a_policy(9, 1));
  open();
  get(watcher_->run());
  EXPECT_EQ(told(), Words{"+policy-bypass 9"});
  kernel_.put_policy(a_policy(17, 1));
  live(1s);
  EXPECT_EQ(told(), Words{"+policy-bypass 17"});
  live(200s);
  EXPECT_EQ(told(), Words{});
  kernel_.delete_policy(9);
  live(1s);
  EXPECT_EQ(told(), Words{"-policy-bypass 9"});
  EXPECT_EQ(watcher_->drift().size(), 1U);
}

TEST_F(WatcherTest, JudgesABatchOfChangesOnceAndSoon) {
  open();
  live(1s);
  judged_ = 0;
  for (std::uint32_t spi = 1; spi <= 100; ++spi) kernel_.add_sa(an_sa(spi));
  kernel_.deliver();
  get(watcher_->run());
  EXPECT_LE(watcher_->deadline(), clock_.boot() + 100ms);
  EXPECT_EQ(judged_, 0);
  live(1s);
  EXPECT_EQ(judged_, 1);
  EXPECT_EQ(changes_.size(), 100U);
}

TEST_F(WatcherTest, FindsWithinAnIntervalWhatNoEventTells) {
  open();
  live(1s);
  kernel_.put_policy(a_policy(9, 1), true);
  live(50s);
  EXPECT_EQ(told(), Words{});
  live(10s);
  EXPECT_EQ(told(), Words{"+policy-bypass 9"});
  EXPECT_EQ(watcher_->counters().repairs, 1U);
  EXPECT_EQ(watcher_->counters().audits, 1U);
}

TEST_F(WatcherTest, IsNotFooledByTheTimeOfDay) {
  open();
  live(1s);
  clock_.set_wall(from_time_t(1));
  kernel_.put_policy(a_policy(9, 1), true);
  live(60s);
  clock_.set_wall(from_time_t(4'000'000'000));
  EXPECT_EQ(told(), Words{"+policy-bypass 9"});
  live(59s);
  EXPECT_EQ(watcher_->counters().audits, 1U);
}

TEST_F(WatcherTest, AuditsSoonInDoubt) {
  open();
  live(1s);
  kernel_.put_policy(a_policy(9, 1), true);
  kernel_.tell(Event());  // of a kind that is not known
  live(6s);
  EXPECT_EQ(told(), Words{"+policy-bypass 9"});
}

class Reconciled : public WatcherTest {
 protected:
  Reconciled() {
    reconciles_ = true;
    known_ = {known(1)};
    kernel_.add_sa(an_sa(1));
  }
  const std::string unknown_ =
      "sa-unknown SA ESP 192.0.2.1 → 192.0.2.2 SPI 0x00000002 is in the kernel, and nobody answers "
      "for it";
};

TEST_F(Reconciled, AnSaThatNobodyAnswersForIsDriftAfterTheGrace) {
  open();
  live(30s);
  EXPECT_EQ(told(), Words{});
  kernel_.add_sa(an_sa(2));
  live(9s);
  EXPECT_EQ(told(), Words{});
  live(2s);
  EXPECT_EQ(told(), Words{"+" + unknown_});
  kernel_.delete_sa(an_sa(2).id);
  live(1s);
  EXPECT_EQ(told(), Words{"-" + unknown_});
}

TEST_F(Reconciled, RekeyingIsNoDrift) {
  open();
  live(7s);
  kernel_.add_sa(an_sa(2));
  live(3s);  // the IKE daemon lists it a little later, and the old one no longer
  known_ = {known(2)};
  live(8s);
  kernel_.delete_sa(an_sa(1).id);
  live(100s);
  EXPECT_EQ(told(), Words{});
}

TEST_F(Reconciled, OfAnotherProtocolOrDestinationIsAnotherSa) {
  kernel_.add_sa(an_sa(1, IPPROTO_AH));
  Sa elsewhere = an_sa(1);
  elsewhere.id.destination.bytes = {192, 0, 2, 77};
  kernel_.add_sa(elsewhere);
  open();
  live(11s);
  EXPECT_EQ(told().size(), 2U);
}

TEST_F(Reconciled, ASilentIkeDaemonIsDriftAndBlamesNoSa) {
  open();
  live(1s);
  silent_ = true;
  kernel_.add_sa(an_sa(2));
  live(30s);
  EXPECT_EQ(told(), Words{"+ike-silent nobody tells which SAs are known: not today 2"});
  known_.push_back(known(2));
  silent_ = false;
  live(5s);
  EXPECT_EQ(told(), Words{"-ike-silent nobody tells which SAs are known: not today 2"});
  EXPECT_LE(asked_, 10);
}

TEST(KnownSas, AreBothDirectionsOfEachChild) {
  vici::ChildSa child;
  child.local = get(Address::parse("192.0.2.1"));
  child.remote = get(Address::parse("192.0.2.2"));
  child.protocol = IPPROTO_ESP;
  child.spi_in = 1;
  child.spi_out = 2;
  child.compression_out = 3;
  vici::ChildSa deleted;
  deleted.local = child.local;
  EXPECT_EQ(known_sas({child, deleted}), (std::vector<SaName>{{*child.local, IPPROTO_ESP, 1},
                                                              {*child.remote, IPPROTO_ESP, 2},
                                                              {*child.remote, IPPROTO_COMP, 3}}));
}

}  // namespace
}  // namespace cs::xfrm
