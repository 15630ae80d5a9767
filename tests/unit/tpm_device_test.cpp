// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/endurance.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/support/tcti_tap.h"
#include "tests/support/unwrap.h"
#include "tpm/device/device.h"
#include "tpm/device/esys.h"
#include "tpm/device/library_context.h"
#include "tpm/device/owner.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/primary_keys.h"
#include "tpm/device/session.h"
#include "tpm/device/status.h"

namespace {

using cs::ErrorKind;
using cs::Result;
using cs::Retry;
using cs::test::Fate;
using cs::test::get;
using cs::test::Swtpm;
using cs::test::TctiTap;
using cs::tpm::Device;
using cs::tpm::Digest;
using cs::tpm::Handle;
using cs::tpm::HashAlgorithm;
using cs::tpm::PcrSelection;
using cs::tpm::Session;

class DeviceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { cs::test::require::programs({"swtpm"}); }

  Device open() { return get(Device::open(options())); }
  cs::tpm::DeviceOptions options() {
    auto given = tap.options(swtpm.tcti());
    given.repeat_for = std::chrono::milliseconds(200);
    given.reconnect_for = std::chrono::milliseconds(200);
    return given;
  }
  static Result<void> random(Device& device) {
    return device.call("TPM2_GetRandom", [](ESYS_CONTEXT* esys) {
      cs::tpm::Out<TPM2B_DIGEST> bytes;
      return Esys_GetRandom(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, 8, bytes.out());
    });
  }

  Swtpm swtpm = get(Swtpm::start());
  TctiTap tap;
};

TEST_F(DeviceTest, SaysWhatTheTpmIs) {
  Device device = open();
  EXPECT_EQ(device.capabilities().manufacturer, "IBM");
  EXPECT_EQ(device.capabilities().vendor, "SW   TPM");
  EXPECT_TRUE(device.capabilities().has_bank(HashAlgorithm::sha256));
  EXPECT_FALSE(device.capabilities().has_bank(HashAlgorithm::sm3_256));
  EXPECT_EQ(std::ranges::count(device.capabilities().curves, TPM2_ECC_NIST_P256), 1);
  EXPECT_NE(device.capabilities().firmware, 0U);
  EXPECT_EQ(device.generation().number, 1U);
  EXPECT_EQ(get(read_lockout(device)).text(),
            "0 of 3 failed authorisations; one is forgotten every 1000 s");
  EXPECT_EQ(get(read_loaded(device)), cs::tpm::Loaded{});
}

TEST_F(DeviceTest, TellsItsStatusAndLeavesNothing) {
  Device device = open();
  const Session session = get(Session::trial(device));
  EXPECT_GT(get(measure_sign_rate(device, std::chrono::milliseconds(10))), 1.0);
  const auto status = get(read_status(device));
  EXPECT_EQ(status.loaded, (cs::tpm::Loaded{.objects = 0, .sessions = 1}));
  EXPECT_EQ(status.free.objects, 3U);
  EXPECT_EQ(status.free.sessions, 2U);
  EXPECT_EQ(status.capabilities.manufacturer, "IBM");
  EXPECT_EQ(status.clock.reset_count, device.generation().clock.reset_count);
  EXPECT_TRUE(status.endorsement.certificates.empty());
}

TEST_F(DeviceTest, HashesInOneLibraryContext) {
  Device device = open();
  const auto before = cs::tpm::library_contexts_asked_for();
  auto srk = cs::tpm::storage_root_key();
  get(Session::hmac(device, *get(srk.handle(device))));
  EXPECT_GT(cs::tpm::library_contexts_asked_for(), before);
  // Whoever asks gets the same, and gives nothing back.
  OSSL_LIB_CTX* const one = OSSL_LIB_CTX_new();
  OSSL_LIB_CTX_free(one);
  EXPECT_EQ(OSSL_LIB_CTX_new(), one);
}

TEST(DeviceOpen, NamesWhatIsNotThere) {
  for (const std::string name : {"device:/nowhere/tpm", "swtpm:path=/nowhere/tpm", "nonsense"}) {
    const auto opened = Device::open({.tcti = name});
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.error().message().find("opening the TPM " + name), std::string::npos);
    EXPECT_NE(opened.error().message().find("is the TPM there"), std::string::npos);
  }
}

TEST_F(DeviceTest, RepeatsWhatTheTpmPutsOff) {
  Device device = open();
  for (const std::uint32_t code :
       {TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING, TPM2_RC_NV_RATE}) {
    tap.decide([=](unsigned number, cs::ByteView /*command*/) {
      return number <= 6 ? Fate{Fate::Kind::answer, code} : Fate{};
    });
    get(random(device));
    EXPECT_EQ(tap.commands(), 7U);
  }
}

TEST_F(DeviceTest, StopsRepeatingInTime) {
  Device device = open();
  tap.decide([](unsigned /*number*/, cs::ByteView /*command*/) {
    return Fate{Fate::Kind::answer, TPM2_RC_RETRY};
  });
  const auto refused = random(device);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::busy);
  EXPECT_EQ(refused.error().retry(), Retry::after_delay);
  EXPECT_LT(tap.commands(), 100U);
  EXPECT_FALSE(device.lost());
}

// As a write to a software TPM that has gone away does.
TEST_F(DeviceTest, ABrokenPipeEndsACommandAndNotTheProcess) {
  Device device = open();
  tap.decide([](unsigned /*number*/, cs::ByteView /*command*/) {
    ::raise(SIGPIPE);
    return Fate{};
  });
  get(read_lockout(device));
  tap.decide({});
  sigset_t pending;
  ASSERT_EQ(::sigpending(&pending), 0);
  EXPECT_EQ(::sigismember(&pending, SIGPIPE), 0);
}

TEST_F(DeviceTest, HandlesFlushThemselves) {
  Device device = open();
  {
    const Session session = get(Session::trial(device));
    EXPECT_EQ(get(read_loaded(device)).sessions, 1U);
  }
  EXPECT_EQ(get(read_loaded(device)).sessions, 0U);
  Session first = get(Session::trial(device));
  first = get(Session::trial(device));
  EXPECT_EQ(get(read_loaded(device)).sessions, 1U);
  Handle kept;
  {
    Device closed = std::move(device);
    kept = closed.adopt(get(first.use(closed)));
  }
  // Closing flushed it; nothing refers to the device any more.
  EXPECT_EQ(get(read_loaded(*std::make_unique<Device>(open()))).sessions, 0U);
}

// Objects and sessions, used, refused by the TPM, dropped, about as many as commands are wished.
TEST_F(DeviceTest, SlotsStayFreeWhateverHappens) {
  Device device = open();
  const std::uint64_t operations = cs::test::repetitions("CS_TPM_OPERATIONS", 10'000);
  const PcrSelection selection = get(PcrSelection::parse("sha256:0,7"));
  const Digest wrong(HashAlgorithm::sha256, 0x55);
  constexpr TPM2B_AUTH auth{1, {'x'}};
  constexpr TPM2B_AUTH wrong_auth{1, {'y'}};
  constexpr TPM2B_MAX_BUFFER nothing{};
  for (std::uint64_t done = 0; done < operations; done += 3) {
    cs::tpm::EsysHandle made = ESYS_TR_NONE;
    get(device.call("TPM2_HashSequenceStart", [&](ESYS_CONTEXT* esys) {
      return Esys_HashSequenceStart(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &auth,
                                    TPM2_ALG_SHA256, &made);
    }));
    const Handle sequence = device.adopt(made);
    const auto refused = device.call("TPM2_SequenceUpdate", [&](ESYS_CONTEXT* esys) {
      Esys_TR_SetAuth(esys, made, &wrong_auth);
      return Esys_SequenceUpdate(esys, made, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                 &nothing);
    });
    ASSERT_FALSE(refused.ok());
    ASSERT_EQ(device.last_trouble(), cs::tpm::Trouble::authorisation);
    if (done % 30 != 0) continue;
    const Session session = get(Session::policy(device));
    ASSERT_FALSE(policy_pcr(device, session, selection, wrong).ok());
  }
  EXPECT_EQ(get(read_loaded(device)), cs::tpm::Loaded{});
}

TEST_F(DeviceTest, ABrokenConnectionEndsAGenerationAndLeavesNothing) {
  Device device = open();
  const Session before = get(Session::trial(device));
  tap.decide([](unsigned number, cs::ByteView /*command*/) {
    return Fate{number == 1 ? Fate::Kind::break_after : Fate::Kind::pass};
  });
  const auto broken = random(device);
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().kind(), ErrorKind::closed);
  EXPECT_EQ(broken.error().retry(), Retry::anew);
  EXPECT_TRUE(device.lost());
  EXPECT_FALSE(random(device).ok());  // not before somebody knows
  get(device.recover());
  get(random(device));
  EXPECT_EQ(device.generation().number, 2U);
  EXPECT_NE(device.generation().reason.find("connection lost"), std::string::npos);
  EXPECT_EQ(get(read_loaded(device)), cs::tpm::Loaded{});  // it was on all the time
  const auto stale = before.use(device);
  ASSERT_FALSE(stale.ok());
  EXPECT_EQ(stale.error().retry(), Retry::anew);
}

TEST_F(DeviceTest, APowerCutIsSeenAndSaid) {
  Device device = open();
  const auto clock = device.generation().clock;
  swtpm.kill();
  EXPECT_FALSE(random(device).ok());
  const auto away = device.recover();
  ASSERT_FALSE(away.ok());
  EXPECT_EQ(away.error().message().find("the TPM has not come back: opening the TPM"), 0U);
  get(swtpm.power_on());
  EXPECT_FALSE(device.recover().ok());  // it rests for a second
  std::this_thread::sleep_for(std::chrono::milliseconds(1050));
  get(device.recover());
  EXPECT_GT(device.generation().clock.reset_count, clock.reset_count);
  EXPECT_EQ(device.generation().reason.find("the TPM was reset (resetCount "), 0U);
  get(random(device));
}

// The TPM is reset under a connection that stays: it says so when it is asked for an object, or
// that it was not started up.
TEST_F(DeviceTest, AResetWithoutADisconnectIsSeenAndSaid) {
  for (const bool started_by_others : {false, true}) {
    Device device = open();
    const Session before = get(Session::trial(device));
    get(swtpm.reset());
    if (started_by_others) {
      get(tap.send(std::vector<std::uint8_t>{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0}));
    }
    const auto refused = before.policy_digest(device);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().retry(), Retry::anew) << refused.error().message();
    EXPECT_TRUE(device.lost());
    get(device.recover());
    EXPECT_EQ(device.generation().reason.find("the TPM was reset (resetCount "), 0U);
    get(random(device));
  }
}

TEST_F(DeviceTest, AResetThatNobodyWouldNoticeIsSeenByLooking) {
  Device device = open();
  get(device.look());
  get(swtpm.reset());
  get(tap.send(std::vector<std::uint8_t>{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0}));  // start-up
  get(random(device));
  const auto looked = device.look();
  ASSERT_FALSE(looked.ok());
  EXPECT_EQ(looked.error().retry(), Retry::anew) << looked.error().message();
  EXPECT_TRUE(device.lost());
  get(device.recover());
  get(device.look());
}

// What a job does with a TPM, from opening it to the last answer.
Result<std::string> scenario(const cs::tpm::DeviceOptions& options) {
  CS_TRY(Device device, Device::open(options));
  const auto selection = get(PcrSelection::parse("sha256:0,1,2,3,4,5,6,7,8,9,16"));
  CS_CHECK(reset_pcr(device, 16));
  CS_CHECK(extend_pcr(device, 16, {Digest(HashAlgorithm::sha256, 7)}));
  auto srk = cs::tpm::storage_root_key();
  CS_TRY(const Handle* const key, srk.handle(device));
  CS_TRY(const Session session, Session::hmac(device, *key));
  CS_TRY(const auto encrypted, session.use(device, cs::tpm::Encrypt::response));
  CS_CHECK(device.call("TPM2_GetRandom", [&](ESYS_CONTEXT* esys) {
    cs::tpm::Out<TPM2B_DIGEST> bytes;
    return Esys_GetRandom(esys, encrypted, ESYS_TR_NONE, ESYS_TR_NONE, 8, bytes.out());
  }));
  CS_TRY(const auto values, read_pcrs(device, selection));
  return values.text();
}

// Each fault at each command: it ends in an error or in the right answer, and leaves no slot taken.
TEST_F(DeviceTest, FaultsAnywhereEndInAnErrorOrTheRightAnswer) {
  get(swtpm.reset());
  const std::string right = get(scenario(options()));
  const unsigned commands = tap.commands();
  ASSERT_GT(commands, 10U);
  const std::vector<Fate> fates{
      {Fate::Kind::break_before},
      {Fate::Kind::break_after},
      {Fate::Kind::cut, 0},
      {Fate::Kind::cut, 9},
      {Fate::Kind::cut, 14},
      {Fate::Kind::corrupt, 1},
      {Fate::Kind::corrupt, 5},
      {Fate::Kind::answer, TPM2_RC_FAILURE},
      {Fate::Kind::answer, TPM2_RC_LOCKOUT},
      {Fate::Kind::answer, TPM2_RC_RETRY},
  };
  unsigned refused = 0;
  for (const Fate& fate : fates) {
    for (unsigned at = 1; at <= commands; ++at) {
      tap.decide(
          [&](unsigned number, cs::ByteView /*command*/) { return number == at ? fate : Fate{}; });
      const auto result = scenario(options());
      if (!result.ok()) ++refused;
      if (result.ok()) {
        EXPECT_EQ(*result, right);
      }
      tap.decide({});
      Device after = open();
      // A connection that broke could not flush: the next device finds what is left, and a TPM
      // without resource manager keeps it until it is told.
      if (fate.kind == Fate::Kind::answer) {
        EXPECT_EQ(get(read_loaded(after)), cs::tpm::Loaded{});
      }
      get(swtpm.reset());
    }
  }
  // All but the repeated one; a flush may fail unseen, and an answer of 10 bytes is not cut at 14.
  EXPECT_GE(refused, (fates.size() - 1) * (commands - 2) - 2);
}

}  // namespace
