// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/endpoint_keeper.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/manual_clock.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/support/unwrap.h"
#include "tests/unit/signer_messages.h"
#include "tests/unit/temporary_directory.h"

namespace cs::keyms {
namespace {

using namespace std::chrono_literals;
using test::get;

constexpr std::chrono::seconds lifetime{600};

class EndpointKeeperTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { test::require::programs({"swtpm"}); }

  template <class Work>
  auto work(Work job) {
    return get(owner->submit(tpm::Priority::extend, std::move(job)).get());
  }
  EndpointKeeperTest() {
    options.config = get(parse_daemon_config("", "a test"));
    options.config.state_directory = directory.file("state");
    options.config.boot_log.clear();
    options.configuration = test::counted<32>(0x77);
    options.clock = &clock;
    machine = work([this](tpm::Device& device) -> Result<std::unique_ptr<Machine>> {
      CS_CHECK(Machine::set_up(device, options, "berlin"));
      return Machine::open(device, options);
    });
    ak = work([this](tpm::Device& device) { return machine->facts(device); }).ak_public;
    keeper.emplace(
        clock, guard, *desk, *machine,
        EndpointKeeper::Hooks{[this] { ++made; },
                              [this](const Error& why) { said.push_back(why.message()); }});
    keeper->keep("berlin", ak, lifetime);
    settle();
  }

  // Its turns, until nothing of it is under way.
  void settle() {
    for (int i = 0; i < 3; ++i) {
      get(keeper->run());
      work([](tpm::Device& /*device*/) { return Result<int>(0); });
      std::this_thread::sleep_for(5ms);
      get(desk->run());
    }
  }
  std::size_t event_log() {
    return work([this](tpm::Device& device) { return machine->log_view(device); }).at(1).log.size();
  }
  Hash certificate() const { return keeper->view()->certificate; }

  test::Swtpm swtpm = get(test::Swtpm::start());
  test::TemporaryDirectory directory;
  test::ManualClock clock;
  const bool set = [this] {
    clock.set_wall(ClockGuard::released + std::chrono::hours(24 * 365));
    return true;
  }();
  ClockGuard guard{clock, clock.wall()};
  Machine::Options options;
  std::unique_ptr<tpm::Owner> owner = get(tpm::Owner::open({.tcti = swtpm.tcti()}));
  std::unique_ptr<TpmDesk> desk = get(TpmDesk::create(*owner));
  std::unique_ptr<Machine> machine;
  Bytes ak;
  std::optional<EndpointKeeper> keeper;
  int made = 0;
  std::vector<std::string> said;
};

TEST_F(EndpointKeeperTest, TheNextCertificateComesAheadAndTheFormerIsRevokedLater) {
  ASSERT_EQ(made, 1);
  const Hash first = certificate();
  clock.advance(EndpointKeeper::overlap);
  settle();
  clock.advance(lifetime / 3);
  settle();
  EXPECT_EQ(made, 1);
  clock.advance(lifetime / 3);
  settle();
  ASSERT_EQ(made, 2);
  EXPECT_NE(certificate(), first);
  EXPECT_TRUE(keeper->of(certificate()).ok());
  EXPECT_EQ(keeper->of(first).error().kind(), ErrorKind::denied);
  const std::size_t before = event_log();
  clock.advance(EndpointKeeper::overlap - 1s);
  settle();
  EXPECT_EQ(event_log(), before);
  clock.advance(2s);
  settle();
  EXPECT_GT(event_log(), before);
  EXPECT_EQ(said, std::vector<std::string>());
}

TEST_F(EndpointKeeperTest, AClockTenYearsAheadEndsItAndIsToldOfNowAndThen) {
  const std::size_t before = event_log();
  clock.set_wall(clock.wall() + std::chrono::hours(24 * 365 * 11));
  for (int i = 0; i < 5; ++i) settle();
  EXPECT_EQ(keeper->of({}).error().kind(), ErrorKind::timed_out);
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said[0].find("the clock is implausible"), std::string::npos) << said[0];
  EXPECT_EQ(event_log(), before);
  clock.advance(Renewal::most_delay);
  settle();
  EXPECT_EQ(said.size(), 2U);
  // It was a mistake: what was made before still holds.
  clock.set_wall(clock.wall() - std::chrono::hours(24 * 365 * 11));
  EXPECT_TRUE(keeper->of({}).ok());
}

TEST_F(EndpointKeeperTest, AClockThatWasAheadForAWhileLeavesNoneOfTheFuture) {
  const WallTime right = clock.wall();
  clock.set_wall(right + std::chrono::hours(24 * 365));
  settle();
  ASSERT_EQ(made, 2);
  EXPECT_GT(keeper->view()->not_before, right + std::chrono::hours(1));
  clock.set_wall(right);
  settle();
  EXPECT_EQ(made, 3);
  EXPECT_LE(keeper->view()->not_before, right);
  EXPECT_TRUE(keeper->of({}).ok());
}

TEST_F(EndpointKeeperTest, AClockTenYearsBehindMakesNothing) {
  clock.set_wall(clock.wall() - std::chrono::hours(24 * 365 * 10));
  for (int i = 0; i < 5; ++i) settle();
  EXPECT_EQ(made, 1);
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said[0].find("the clock is implausible"), std::string::npos) << said[0];
}

}  // namespace
}  // namespace cs::keyms
