// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/tpm_desk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <optional>
#include <string>
#include <thread>

#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/support/unwrap.h"
#include "tpm/device/pcr_commands.h"

namespace cs::keyms {
namespace {

using test::get;
using test::Swtpm;

class TpmDeskTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { test::require::programs({"swtpm"}); }
  TpmDeskTest() { loop.add(*desk); }
  // A test that has failed may leave it held.
  void TearDown() override { release(); }

  // The TPM does nothing until release().
  void hold() {
    held.emplace();
    owner->post(tpm::Priority::extend, [until = held->get_future().share()](
                                           const Result<tpm::Device*>& /*tpm*/) { until.wait(); });
  }
  void release() {
    if (held) held->set_value();
    held.reset();
  }
  void ask(tpm::Priority priority, const std::string& name) {
    desk->ask(
        priority, [](tpm::Device& /*device*/) { return Result<void>(); },
        [this, name](const Result<void>& done) {
          told.push_back(name + (done.ok() ? "" : ": " + done.error().message()));
        });
  }
  void turn_until_told(std::size_t count) {
    for (int i = 0; i < 20 && told.size() < count; ++i) get(loop.turn());
    EXPECT_EQ(told.size(), count);
  }
  // Until what was asked has been done, whether or not it was told.
  void await_owner() const {
    get(owner
            ->submit(tpm::Priority::background,
                     [](tpm::Device& /*device*/) { return Result<void>(); })
            .get());
  }

  Swtpm swtpm = get(Swtpm::start());
  SystemClock clock;
  std::unique_ptr<tpm::Owner> owner = get(tpm::Owner::open({.tcti = swtpm.tcti()}));
  std::unique_ptr<TpmDesk> desk = get(TpmDesk::create(*owner));
  Loop loop{clock};
  std::vector<std::string> told;
  std::optional<std::promise<void>> held;
};

TEST_F(TpmDeskTest, WorksElsewhereAndTellsInTheLoop) {
  const auto here = std::this_thread::get_id();
  std::thread::id worked;
  std::thread::id told_in;
  std::optional<Result<tpm::PcrValues>> values;
  desk->ask(
      tpm::Priority::quote,
      [&](tpm::Device& device) -> Result<tpm::PcrValues> {
        worked = std::this_thread::get_id();
        CS_TRY(const auto selection, tpm::PcrSelection::parse("sha256:0,23"));
        return read_pcrs(device, selection);
      },
      [&](Result<tpm::PcrValues> done) {
        told_in = std::this_thread::get_id();
        values = std::move(done);
      });
  EXPECT_FALSE(values) << "not within ask()";
  for (int i = 0; i < 20 && !values; ++i) get(loop.turn());
  ASSERT_TRUE(values && values->ok());
  EXPECT_NE(worked, here);
  EXPECT_EQ(told_in, here);
}

TEST_F(TpmDeskTest, TheMostUrgentGoesFirst) {
  hold();
  ask(tpm::Priority::background, "background");
  ask(tpm::Priority::signature, "signature");
  ask(tpm::Priority::quote, "quote");
  ask(tpm::Priority::extend, "extend");
  release();
  turn_until_told(4);
  EXPECT_EQ(told, (std::vector<std::string>{"extend", "quote", "signature", "background"}));
}

TEST_F(TpmDeskTest, WhatFollowsMayAskAgain) {
  desk->ask(
      tpm::Priority::quote, [](tpm::Device& /*device*/) { return Result<void>(); },
      [this](const Result<void>& /*done*/) {
        told.emplace_back("first");
        ask(tpm::Priority::quote, "second");
      });
  turn_until_told(2);
  EXPECT_EQ(told, (std::vector<std::string>{"first", "second"}));
}

TEST_F(TpmDeskTest, AfterTheDeskHasGoneNothingFollows) {
  Loop empty(clock);
  auto gone = get(TpmDesk::create(*owner));
  const auto token = std::make_shared<int>(0);
  hold();
  gone->ask(
      tpm::Priority::extend, [](tpm::Device& /*device*/) { return Result<void>(); },
      [this, token](const Result<void>& /*done*/) { told.emplace_back("in vain"); });
  gone.reset();
  release();
  await_owner();
  EXPECT_TRUE(told.empty());
  for (int i = 0; i < 1000 && token.use_count() > 1; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(token.use_count(), 1) << "and nothing of it is kept";
}

TEST_F(TpmDeskTest, AnOwnerThatIsClosedSaysSoToWhoWaitsAndWhoComesLater) {
  hold();
  ask(tpm::Priority::quote, "waits");
  owner->close();
  release();
  ask(tpm::Priority::quote, "later");
  EXPECT_TRUE(told.empty()) << "not within ask()";
  turn_until_told(2);
  for (const std::string& words : told) EXPECT_NE(words.find(": "), std::string::npos) << words;
  for (int i = 0; i < 2; ++i) get(desk->run());
  EXPECT_EQ(told.size(), 2U) << "exactly once";
}

TEST_F(TpmDeskTest, WhatIsTooMuchIsToldSoAndTheRestIsDone) {
  hold();
  for (std::size_t i = 0; i < tpm::JobQueue::most + 10; ++i) ask(tpm::Priority::quote, "job");
  release();
  turn_until_told(tpm::JobQueue::most + 10);
  const auto refused = std::ranges::count_if(
      told, [](const std::string& words) { return words.find(": ") != std::string::npos; });
  EXPECT_EQ(refused, 10);
}

}  // namespace
}  // namespace cs::keyms
