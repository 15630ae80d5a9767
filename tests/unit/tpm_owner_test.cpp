// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/support/unwrap.h"
#include "tpm/device/esys.h"
#include "tpm/device/owner.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/primary_keys.h"

namespace {

using cs::ErrorKind;
using cs::Result;
using cs::Retry;
using cs::test::get;
using cs::test::Swtpm;
using cs::tpm::Device;
using cs::tpm::Digest;
using cs::tpm::Generation;
using cs::tpm::HashAlgorithm;
using cs::tpm::Owner;
using cs::tpm::Priority;
using cs::tpm::VolatileObject;

class OwnerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { cs::test::require::programs({"swtpm"}); }

  cs::tpm::DeviceOptions options() const {
    return {.tcti = swtpm.tcti(), .reconnect_for = std::chrono::milliseconds(5000)};
  }
  // Keeps the owner busy until the test says so.
  std::future<Result<int>> hold(Owner& owner) {
    return owner.submit(Priority::extend, [this](Device& /*tpm*/) -> Result<int> {
      held.set_value();
      release.get_future().wait();
      return 1;
    });
  }
  Swtpm swtpm = get(Swtpm::start());
  std::promise<void> held;
  std::promise<void> release;
};

TEST_F(OwnerTest, ServesManyThreadsOneAtATime) {
  const auto owner = get(Owner::open(options()));
  std::atomic<int> inside = 0;
  std::atomic<int> done = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 25; ++i) {
        auto extended =
            owner->submit(static_cast<Priority>(thread), [&](Device& tpm) -> Result<int> {
              EXPECT_EQ(++inside, 1);
              CS_CHECK(extend_pcr(tpm, 16, {Digest(HashAlgorithm::sha256)}));
              return --inside;
            });
        EXPECT_EQ(get(extended.get()), 0);
        ++done;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(done, 100);
}

TEST_F(OwnerTest, DoesWhatIsDueFirst) {
  const auto owner = get(Owner::open(options()));
  auto first = hold(*owner);
  held.get_future().wait();
  std::string order;
  std::vector<std::future<Result<int>>> all;
  for (const auto& [priority, letter] : {std::pair{Priority::background, 'b'},
                                         {Priority::signature, 's'},
                                         {Priority::quote, 'q'},
                                         {Priority::extend, 'e'}}) {
    all.push_back(
        owner->submit(priority, [&order, letter = letter](Device& /*tpm*/) -> Result<int> {
          order += letter;
          return 0;
        }));
  }
  release.set_value();
  for (auto& job : all) get(job.get());
  EXPECT_EQ(order, "eqsb");
}

TEST_F(OwnerTest, ClosingFailsWhatWaits) {
  auto owner = get(Owner::open(options()));
  auto first = hold(*owner);
  held.get_future().wait();
  auto second = owner->submit(Priority::quote, [](Device& /*tpm*/) -> Result<int> { return 2; });
  owner->close();
  auto third = owner->submit(Priority::quote, [](Device& /*tpm*/) -> Result<int> { return 3; });
  EXPECT_EQ(third.get().error().message(), "the TPM's owner is closing");
  release.set_value();
  owner.reset();
  EXPECT_EQ(get(first.get()), 1);
  EXPECT_EQ(second.get().error().kind(), ErrorKind::closed);
}

TEST_F(OwnerTest, AFullQueueSaysSo) {
  const auto owner = get(Owner::open(options()));
  auto first = hold(*owner);
  held.get_future().wait();
  for (std::size_t i = 0; i < cs::tpm::JobQueue::most; ++i) {
    owner->post(Priority::background, [](const Result<Device*>& /*tpm*/) {});
  }
  bool refused = false;
  owner->post(Priority::background, [&](const Result<Device*>& tpm) {
    refused = !tpm.ok() && tpm.error().kind() == ErrorKind::busy;
  });
  EXPECT_TRUE(refused);
  release.set_value();
}

// The power goes while four threads work. Each sees an error that says "anew" or a result, nothing
// is lost in between, and everything goes on after.
TEST_F(OwnerTest, WorkGoesOnAfterAPowerCut) {
  std::vector<Generation> told;
  const auto owner = get(
      Owner::open(options(), [&](const Generation& generation) { told.push_back(generation); }));
  VolatileObject srk = cs::tpm::storage_root_key();
  std::atomic<bool> stop = false;
  std::atomic<int> good = 0;
  std::atomic<int> anew = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      while (!stop) {
        auto named = owner->submit(Priority::signature, [&](Device& tpm) -> Result<std::string> {
          CS_TRY(const auto key, srk.use(tpm));
          cs::tpm::Out<TPM2B_PUBLIC> area;
          CS_CHECK(tpm.call("TPM2_ReadPublic of the storage root key", [&](ESYS_CONTEXT* esys) {
            cs::tpm::Out<TPM2B_NAME> name;
            cs::tpm::Out<TPM2B_NAME> qualified;
            return Esys_ReadPublic(esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, area.out(),
                                   name.out(), qualified.out());
          }));
          return std::string("read");
        });
        const auto result = named.get();
        if (result.ok()) {
          ++good;
        } else {
          EXPECT_EQ(result.error().retry(), Retry::anew) << result.error().message();
          ++anew;
        }
      }
    });
  }
  for (int cut = 0; cut < 2; ++cut) {
    for (const int goal = good + 40; good < goal;) std::this_thread::yield();
    swtpm.kill();
    get(swtpm.power_on());
  }
  for (const int goal = good + 40; good < goal;) std::this_thread::yield();
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_GE(anew, 2);
  const auto loaded =
      get(owner->submit(Priority::background, [](Device& tpm) { return read_loaded(tpm); }).get());
  EXPECT_EQ(loaded.objects, 1U);
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told.back().number, 3U);
  EXPECT_EQ(told.front().reason.find("the TPM was reset (resetCount "), 0U);
  EXPECT_GT(told.back().clock.reset_count, told.front().clock.reset_count);
}

TEST_F(OwnerTest, AnObjectThatComesBackAsAnotherIsRefused) {
  Swtpm exchanged = get(Swtpm::start());
  std::string where = swtpm.tcti();
  auto given = options();
  given.connect = [&](const std::string& /*name*/) { return cs::tpm::connect_tcti(where); };
  Device device = get(Device::open(given));
  VolatileObject srk = cs::tpm::storage_root_key();
  get(srk.use(device));
  EXPECT_EQ(srk.name().size(), 34U);
  srk.unload();
  get(srk.use(device));
  swtpm.kill();
  where = exchanged.tcti();
  EXPECT_FALSE(read_clock(device).ok());
  get(device.recover());
  const auto refused = srk.use(device);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::unverified);
  EXPECT_EQ(
      refused.error().message().find("the storage root key comes back from the TPM as another"),
      0U);
}

}  // namespace
