// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/support/tcti_tap.h"
#include "tests/support/unwrap.h"
#include "tpm/device/authorization.h"
#include "tpm/device/esys.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/primary_keys.h"
#include "tpm/device/session.h"

namespace {

using cs::ByteView;
using cs::ErrorKind;
using cs::Result;
using cs::test::Fate;
using cs::test::get;
using cs::test::Swtpm;
using cs::test::TctiTap;
using cs::tpm::Device;
using cs::tpm::Digest;
using cs::tpm::Encrypt;
using cs::tpm::EsysHandle;
using cs::tpm::Handle;
using cs::tpm::HashAlgorithm;
using cs::tpm::KeyType;
using cs::tpm::Out;
using cs::tpm::PcrSelection;
using cs::tpm::PcrValues;
using cs::tpm::Session;

constexpr std::string_view secret = "a secret of 24 bytes, ok";
ByteView bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

class SessionTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cs::test::require::programs({"swtpm"});
    swtpm.emplace(get(Swtpm::start()));
  }
  static void TearDownTestSuite() { swtpm.reset(); }

  SessionTest() : device(get(Device::open(options()))) {}
  void TearDown() override { tap.decide({}); }  // what it knows goes before the device does

  cs::tpm::DeviceOptions options() {
    auto given = tap.options(swtpm->tcti());
    given.clock = &clock;
    return given;
  }

  // Sealed data that Unseal gives under `policy`, or (without one) for `auth`; failures count.
  Handle seal(const std::optional<Digest>& policy, std::string_view auth) {
    const EsysHandle parent = get(srk.use(device));
    TPM2B_SENSITIVE_CREATE sensitive{};
    sensitive.sensitive.data = get(cs::tpm::sized<TPM2B_SENSITIVE_DATA>(bytes(secret), "data"));
    sensitive.sensitive.userAuth = get(cs::tpm::sized<TPM2B_AUTH>(bytes(auth), "auth"));
    TPM2B_PUBLIC shape{};
    shape.publicArea.type = TPM2_ALG_KEYEDHASH;
    shape.publicArea.nameAlg = TPM2_ALG_SHA256;
    shape.publicArea.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT;
    if (!policy) shape.publicArea.objectAttributes |= TPMA_OBJECT_USERWITHAUTH;
    if (policy) {
      shape.publicArea.authPolicy = get(cs::tpm::sized<TPM2B_DIGEST>(policy->bytes(), "policy"));
    }
    shape.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
    const TPM2B_DATA outside{};
    const TPML_PCR_SELECTION no_pcrs{};
    Out<TPM2B_PRIVATE> private_part;
    Out<TPM2B_PUBLIC> public_part;
    EsysHandle made = ESYS_TR_NONE;
    get(device.call("TPM2_Create", [&](ESYS_CONTEXT* esys) {
      Out<TPM2B_CREATION_DATA> data;
      Out<TPM2B_DIGEST> hash;
      Out<TPMT_TK_CREATION> ticket;
      return Esys_Create(esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                         &shape, &outside, &no_pcrs, private_part.out(), public_part.out(),
                         data.out(), hash.out(), ticket.out());
    }));
    get(device.call("TPM2_Load", [&](ESYS_CONTEXT* esys) {
      return Esys_Load(esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &*private_part,
                       &*public_part, &made);
    }));
    return device.adopt(made);
  }

  Result<std::string> unseal(const Handle& object, const Session& session) {
    CS_TRY(const EsysHandle item, device.resolve(object));
    CS_TRY(const EsysHandle with, session.use(device));
    Out<TPM2B_SENSITIVE_DATA> data;
    CS_CHECK(device.call("TPM2_Unseal", [&](ESYS_CONTEXT* esys) {
      return Esys_Unseal(esys, item, with, ESYS_TR_NONE, ESYS_TR_NONE, data.out());
    }));
    const ByteView plain = cs::tpm::view(*data);
    return std::string(plain.begin(), plain.end());
  }

  Result<void> unseal_with(const Handle& object, std::string_view auth) {
    CS_TRY(const EsysHandle item, device.resolve(object));
    return call_authorized(device, "TPM2_Unseal", item, bytes(auth), [&](ESYS_CONTEXT* esys) {
      Out<TPM2B_SENSITIVE_DATA> data;
      return Esys_Unseal(esys, item, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, data.out());
    });
  }

  Digest policy_digest(const PcrSelection& selection, const Digest& composite) {
    const Session trial = get(Session::trial(device));
    get(policy_pcr(device, trial, selection, composite));
    return get(trial.policy_digest(device));
  }

  static inline std::optional<Swtpm> swtpm;
  cs::test::ManualClock clock;
  std::string seen;
  TctiTap tap;
  Device device;
  cs::tpm::VolatileObject srk = cs::tpm::storage_root_key();
  const PcrSelection boot = get(PcrSelection::parse("sha256:0,1,2,3,4,5,6,7,8,9,11"));
};

// What is encrypted on its way is the same at both ends, and something else in between.
TEST_F(SessionTest, SaltedToAnyKeyItEncryptsBothWays) {
  for (const auto type : {KeyType::rsa_2048, KeyType::p256, KeyType::p384}) {
    auto key = endorsement_key(type);
    const Session session = get(Session::hmac(device, *get(key.handle(device))));
    tap.decide([&](unsigned /*number*/, ByteView command) {
      seen.append(command.begin(), command.end());
      return Fate{};
    });
    const auto data = get(cs::tpm::sized<TPM2B_SENSITIVE_DATA>(bytes(secret), "data"));
    for (const bool encrypted : {true, false}) {
      seen.clear();
      const EsysHandle with = encrypted ? get(session.use(device, Encrypt::command)) : ESYS_TR_NONE;
      get(device.call("TPM2_StirRandom", [&](ESYS_CONTEXT* esys) {
        return Esys_StirRandom(esys, with, ESYS_TR_NONE, ESYS_TR_NONE, &data);
      }));
      EXPECT_EQ(seen.find(secret) == std::string::npos, encrypted);
    }
    // That the TPM encrypts its answer: undone by us, it is what the TPM hashed.
    const EsysHandle with = get(session.use(device, Encrypt::both));
    const auto message = get(cs::tpm::sized<TPM2B_MAX_BUFFER>(bytes(secret), "data"));
    Out<TPM2B_DIGEST> digest;
    get(device.call("TPM2_Hash", [&](ESYS_CONTEXT* esys) {
      Out<TPMT_TK_HASHCHECK> ticket;
      return Esys_Hash(esys, with, ESYS_TR_NONE, ESYS_TR_NONE, &message, TPM2_ALG_SHA256,
                       ESYS_TR_RH_NULL, digest.out(), ticket.out());
    }));
    EXPECT_TRUE(
        std::ranges::equal(cs::tpm::view(*digest),
                           cs::tpm::Hasher(HashAlgorithm::sha256).hash({bytes(secret)}).bytes()));
  }
}

TEST_F(SessionTest, WithoutSaltNothingIsEncrypted) {
  EXPECT_FALSE(Session::hmac(device, Handle()).ok());
  const Session session = get(Session::policy(device));
  const auto refused = session.use(device, Encrypt::response);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message(), "encrypting parameters in a session that is not salted");
}

// IMA extends PCR 10 all the time. The policy is about others.
TEST_F(SessionTest, APolicyHoldsWhileOtherRegistersMove) {
  const Digest composite = get(get(read_pcrs(device, boot)).composite(boot, HashAlgorithm::sha256));
  const Handle sealed = seal(policy_digest(boot, composite), "");
  const Session session = get(Session::policy(device));
  std::atomic<bool> stop = false;
  std::atomic<int> extends = 0;
  std::thread ima([&] {
    const auto command = cs::test::extend_command(10);
    while (!stop) {
      get(tap.send(command));
      ++extends;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  int rebuilt = 0;
  // As long as it takes until they have met: they do in a few of fifty turns.
  for (int i = 0; i < 50 || (i < 50'000 && (rebuilt == 0 || extends <= 50)); ++i) {
    std::string plain;
    int attempts = 0;
    const auto done = with_policy(
        device, session,
        [&] {
          ++attempts;
          return policy_pcr(device, session, boot, composite);
        },
        [&]() -> Result<void> {
          CS_TRY(plain, unseal(sealed, session));
          return {};
        });
    EXPECT_TRUE(done.ok()) << done.error().message();
    EXPECT_EQ(plain, secret);
    rebuilt += attempts - 1;
    EXPECT_TRUE(read_pcrs(device, boot).ok());
  }
  stop = true;
  ima.join();
  EXPECT_GT(extends, 50);
  EXPECT_GT(rebuilt, 0);
}

TEST_F(SessionTest, APolicyThatDoesNotHoldIsFinal) {
  const Digest composite = get(get(read_pcrs(device, boot)).composite(boot, HashAlgorithm::sha256));
  const Handle sealed = seal(policy_digest(boot, composite), "");
  const Session session = get(Session::policy(device));
  const auto attempt = [&](int* attempts) {
    return with_policy(
        device, session,
        [&] {
          ++*attempts;
          return policy_pcr(device, session, boot, composite);
        },
        [&]() -> Result<void> {
          // The first time one of its own registers moves between the policy and its use.
          if (*attempts == 1) CS_CHECK(extend_pcr(device, 11, {Digest(HashAlgorithm::sha256)}));
          CS_TRY(const auto plain, unseal(sealed, session));
          return {};
        });
  };
  for (const int expected : {2, 1}) {
    int attempts = expected == 2 ? 0 : 1;
    const int before = attempts;
    const auto refused = attempt(&attempts);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
    EXPECT_EQ(refused.error().retry(), cs::Retry::no);
    EXPECT_NE(refused.error().message().find("do not have the values the policy was made for"),
              std::string::npos);
    EXPECT_EQ(attempts - before, expected);
  }
}

// Not of a command, so that nothing says why: it must not pass for what the TPM said before.
TEST_F(SessionTest, AFailureOfOurOwnIsFinal) {
  const Digest composite = get(get(read_pcrs(device, boot)).composite(boot, HashAlgorithm::sha256));
  const Session session = get(Session::policy(device));
  bool moved = false;
  tap.decide([&](unsigned /*number*/, cs::ByteView command) {
    constexpr std::uint32_t pcr_read = 0x17e;
    constexpr std::uint32_t pcr_changed = 0x128;
    if (moved || cs::test::command_code(command) != pcr_read) return Fate{};
    moved = true;
    return Fate{Fate::Kind::answer, pcr_changed};
  });
  int attempts = 0;
  const auto done = with_policy(
      device, session, [&] { return policy_pcr(device, session, boot, composite); },
      [&]() -> Result<void> {
        ++attempts;
        CS_CHECK(read_pcrs(device, boot));
        return cs::Error(ErrorKind::internal, "our own");
      });
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().message(), "our own");
  EXPECT_EQ(attempts, 2);
}

TEST_F(SessionTest, AWrongAuthValueIsNotedForTheNextProcess) {
  auto noting = options();
  noting.failures = swtpm->file("failures");
  const std::uint32_t before = get(read_lockout(device)).failures;
  const auto begin_anew = [&] {
    { const Device closed = std::move(device); }
    device = get(Device::open(noting));
    srk = cs::tpm::storage_root_key();
  };
  for (const char* refused : {"TPM_RC_AUTH_FAIL for session 1", "this one is not proved"}) {
    begin_anew();
    const Handle sealed = seal(std::nullopt, "right");
    const auto done = unseal_with(sealed, "wrong");
    ASSERT_FALSE(done.ok());
    EXPECT_NE(done.error().message().find(refused), std::string::npos) << done.error().message();
  }
  EXPECT_EQ(get(read_lockout(device)).failures, before + 1);
  noting.failures += "/nowhere";
  begin_anew();
  clock.advance(std::chrono::hours(2));
  const auto unnoted = unseal_with(seal(std::nullopt, "right"), "wrong");
  EXPECT_NE(unnoted.error().message().find("not noted for the next process: opening "),
            std::string::npos);
  get(device.call("TPM2_DictionaryAttackLockReset", [](ESYS_CONTEXT* esys) {
    return Esys_DictionaryAttackLockReset(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                          ESYS_TR_NONE);
  }));
}

TEST_F(SessionTest, AWrongAuthValueIsShownOnceAnHour) {
  const Handle sealed = seal(std::nullopt, "right");
  get(unseal_with(sealed, "right"));
  const auto wrong = unseal_with(sealed, "wrong");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().kind(), ErrorKind::denied);
  EXPECT_NE(wrong.error().message().find("TPM_RC_AUTH_FAIL for session 1"), std::string::npos);
  EXPECT_EQ(get(read_lockout(device)).failures, 1U);

  tap.decide({});
  clock.advance(std::chrono::minutes(59));
  const auto again = unseal_with(sealed, "wrong");
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().message(),
            "TPM2_Unseal: this auth value has failed for the same object before; correct it, or "
            "wait 1 min: the TPM locks after a few wrong ones");
  EXPECT_EQ(again.error().retry(), cs::Retry::after_delay);
  EXPECT_EQ(tap.commands(), 0U);
  get(unseal_with(sealed, "right"));

  clock.advance(std::chrono::minutes(1));
  EXPECT_FALSE(unseal_with(sealed, "wrong").ok());
  EXPECT_EQ(get(read_lockout(device)).failures, 2U);
  // Nor is another one tried out meanwhile.
  const auto another = unseal_with(sealed, "another");
  ASSERT_FALSE(another.ok());
  EXPECT_EQ(another.error().message(),
            "TPM2_Unseal: an auth value has failed before, and this one is not proved; make sure "
            "that it is right, and wait 60 min: the TPM locks after a few wrong ones");
  EXPECT_EQ(get(read_lockout(device)).failures, 2U);
  get(unseal_with(sealed, "right"));

  clock.advance(std::chrono::hours(1));
  EXPECT_FALSE(unseal_with(sealed, "another").ok());
  const auto lockout = get(read_lockout(device));
  EXPECT_TRUE(lockout.locked);
  EXPECT_EQ(lockout.text().find("locked: 3 of 3 failed authorisations;"), 0U);
  const auto locked = unseal_with(sealed, "right");
  ASSERT_FALSE(locked.ok());
  EXPECT_NE(locked.error().message().find("locked after failed authorisations (TPM_RC_LOCKOUT"),
            std::string::npos);
}

TEST_F(SessionTest, RegistersAreExtendedInAllBanksAndReadTogether) {
  const auto both = get(PcrSelection::parse("sha1:16,23+sha256:0,1,2,3,4,5,6,7,8,9,16,23"));
  get(reset_pcr(device, 16));
  get(extend_pcr(device, 16, {Digest(HashAlgorithm::sha256), Digest(HashAlgorithm::sha1)}));
  const PcrValues values = get(read_pcrs(device, both));
  EXPECT_EQ(values.find(HashAlgorithm::sha256, 16)->hex(),
            "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
  EXPECT_EQ(values.find(HashAlgorithm::sha1, 16)->hex(),
            "b80de5d138758541c5f05265ad144ab9fa86d1db");
  EXPECT_EQ(values.find(HashAlgorithm::sha1, 23)->hex(), std::string(40, '0'));
  EXPECT_EQ(values.find(HashAlgorithm::sha1, 0), nullptr);
  get(reset_pcr(device, 16));
  const auto cleared = get(read_pcrs(device, both));
  EXPECT_EQ(cleared.find(HashAlgorithm::sha256, 16)->hex(), std::string(64, '0'));
}

// Twelve registers take two commands. In between one moves that the first has read.
TEST_F(SessionTest, RegistersAreReadAsTheyAreAtOneMoment) {
  std::atomic<bool> moved = false;
  std::optional<std::thread> other;
  int reads = 0;
  tap.decide([&](unsigned /*number*/, ByteView command) {
    if (cs::test::command_code(command) != TPM2_CC_PCR_Read || ++reads == 1 || moved) return Fate{};
    if (!other) {
      other.emplace([&] {
        get(tap.send(cs::test::extend_command(1)));
        moved = true;
      });
    }
    return Fate{Fate::Kind::answer, TPM2_RC_RETRY};
  });
  const auto values = get(read_pcrs(device, boot));
  other->join();
  tap.decide({});
  const auto now = get(read_pcrs(device, boot));
  EXPECT_EQ(*values.find(HashAlgorithm::sha256, 1), *now.find(HashAlgorithm::sha256, 1));
}

TEST_F(SessionTest, RegistersThatCannotBeResetAreNot) {
  for (const std::uint32_t index : {0U, 10U, 15U, 17U, 22U, 24U}) {
    const auto refused = reset_pcr(device, index);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
  }
  EXPECT_FALSE(extend_pcr(device, 24, {Digest(HashAlgorithm::sha256)}).ok());
  EXPECT_FALSE(extend_pcr(device, 16, {}).ok());
  const Digest one(HashAlgorithm::sha256);
  EXPECT_FALSE(extend_pcr(device, 16, {one, one}).ok());
  const auto bank = read_pcrs(device, get(PcrSelection::parse("sm3_256:0")));
  ASSERT_FALSE(bank.ok());
  EXPECT_EQ(bank.error().message().find("reading PCRs: the TPM has no bank sm3_256"), 0U);
}

}  // namespace
