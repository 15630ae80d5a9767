// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/byte_writer.h"
#include "nfq-signer/signature.h"
#include "tests/support/endurance.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/support/tcti_tap.h"
#include "tests/support/unwrap.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/primary_keys.h"
#include "tpm/device/signing_key.h"

namespace cs::tpm {
namespace {

using test::Fate;
using test::get;
using test::Swtpm;
using test::TctiTap;

constexpr std::uint32_t sign_code = 0x15d;
constexpr std::array<std::uint8_t, 5> message{'r', 'o', 'o', 't', '!'};

std::vector<std::uint8_t> flush_command(std::uint32_t handle) {
  ByteBuilder out(14);
  out.u16be(0x8001).u32be(14).u32be(0x165).u32be(handle);
  return get(out.finish("TPM2_FlushContext"));
}

class SigningKeyTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    test::require::programs({"swtpm"});
    swtpm.emplace(get(Swtpm::start()));
  }
  static void TearDownTestSuite() { swtpm.reset(); }

  SigningKeyTest() : device(get(Device::open(tap.options(swtpm->tcti())))) {
    SaltedSession salted(storage_root_key());
    const SigningKey::Policy policy{
        registers,
        get(get(read_pcrs(device, registers)).composite(registers, HashAlgorithm::sha256))};
    const KeyBlobs blobs = get(SigningKey::create(device, salted, policy));
    signer.emplace(blobs, policy);
    verifying.emplace(
        get(VerifyingKey::load(Suite::p256_node16, get(SigningKey::public_key(blobs)))));
  }

  void TearDown() override { tap.decide({}); }  // what it knows goes before the device does

  Result<EcdsaSignature> sign() { return signer->sign(device, digest); }
  bool verifies(const EcdsaSignature& signature) const {
    return verifying->verifies(message, signature);
  }
  // Notes of each TPM2_Sign its key and its session.
  void watch() {
    tap.decide([&](unsigned /*number*/, ByteView command) {
      if (test::command_code(command) != sign_code) return Fate{};
      ByteReader in(command);
      EXPECT_TRUE(in.skip(10) && in.u32be(key) && in.skip(4) && in.u32be(session));
      ++signs;
      return Fate{};
    });
  }

  static inline std::optional<Swtpm> swtpm;
  std::uint32_t key = 0;
  std::uint32_t session = 0;
  std::atomic<int> signs = 0;
  TctiTap tap;
  Device device;
  const PcrSelection registers = get(PcrSelection::parse("sha256:0,1,2,3,4,5,6,7,23"));
  const Digest digest = Hasher(HashAlgorithm::sha256).hash({message});
  std::optional<SigningKey> signer;
  std::optional<VerifyingKey> verifying;
};

// The verifier refuses an s above half of the order, and a TPM makes every second one so.
TEST_F(SigningKeyTest, SignsWhatTheDataPlaneAccepts) {
  watch();
  for (int i = 0; i < 32; ++i) EXPECT_TRUE(verifies(get(sign()))) << i;
  EXPECT_EQ(signs, 32);
  const Loaded one = get(read_loaded(device));
  EXPECT_EQ(one, (Loaded{.objects = 1, .sessions = 1}));
}

// IMA extends PCR 10 all the time.
TEST_F(SigningKeyTest, SignsOnWhileOtherRegistersMove) {
  watch();
  get(sign());
  std::atomic<bool> stop = false;
  std::thread ima([&] {
    const auto command = test::extend_command(10);
    while (!stop) {
      get(tap.send(command));
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  });
  int made = 0;
  for (; made < 2000 && signs <= made + 5; ++made) EXPECT_TRUE(sign().ok());
  stop = true;
  ima.join();
  EXPECT_GT(signs, made + 5) << "no signature met a register that had moved";
}

TEST_F(SigningKeyTest, ItsOwnRegistersEndIt) {
  get(sign());
  get(extend_pcr(device, 23, {Digest(HashAlgorithm::sha256)}));
  watch();
  for (int i = 0; i < 2; ++i) {
    const auto refused = sign();
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
    EXPECT_NE(refused.error().message().find("PCRs sha256:0,1,2,3,4,5,6,7,23 do not have"),
              std::string::npos)
        << refused.error().message();
  }
  EXPECT_EQ(signs, 0) << "it was tried without the policy";
  EXPECT_FALSE(device.lost());
  get(reset_pcr(device, 23));
  EXPECT_TRUE(verifies(get(sign())));
}

// Nobody is stopped from that where there is no resource manager.
TEST_F(SigningKeyTest, WhatSomebodyElseFlushedIsLoadedAgain) {
  watch();
  get(sign());
  for (const std::uint32_t* const gone : {&key, &session}) {
    get(tap.send(flush_command(*gone)));
    EXPECT_TRUE(verifies(get(sign())));
  }
  EXPECT_FALSE(device.lost());
}

TEST_F(SigningKeyTest, AfterAResetItsCallerIsToldAndItGoesOn) {
  EXPECT_TRUE(verifies(get(sign())));
  get(swtpm->reset());
  const auto failed = sign();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().retry(), Retry::anew);
  get(device.recover());
  EXPECT_EQ(device.generation().number, 2U);
  EXPECT_TRUE(verifies(get(sign())));
}

TEST_F(SigningKeyTest, NoFaultMakesASignatureOrALeak) {
  get(sign());
  using enum Fate::Kind;
  for (const Fate fate : {Fate{break_before}, Fate{break_after}, Fate{cut, 0}, Fate{cut, 9},
                          Fate{cut, 40}, Fate{corrupt, 0}, Fate{corrupt, 13}, Fate{corrupt, 15}}) {
    tap.decide([&](unsigned /*number*/, ByteView command) {
      return test::command_code(command) == sign_code ? fate : Fate{};
    });
    EXPECT_FALSE(sign().ok());
    EXPECT_TRUE(device.lost());
    tap.decide({});
    get(device.recover());
    EXPECT_TRUE(verifies(get(sign())));
    EXPECT_EQ(get(read_loaded(device)), (Loaded{.objects = 1, .sessions = 1}));
  }
}

TEST_F(SigningKeyTest, ATpmThatWantsToBeAskedAgainIs) {
  get(sign());
  int left = 3;
  tap.decide([&](unsigned /*number*/, ByteView command) {
    constexpr std::uint32_t retry = 0x922;
    return test::command_code(command) == sign_code && left-- > 0 ? Fate{Fate::Kind::answer, retry}
                                                                  : Fate{};
  });
  EXPECT_TRUE(verifies(get(sign())));
  EXPECT_LT(left, 0);
}

// CS_ENDURANCE_SIGNATURES says how many; by default few.
TEST_F(SigningKeyTest, MemoryAndSlotsStayFlat) {
  const std::uint64_t count = test::repetitions("CS_ENDURANCE_SIGNATURES", 1000);
  for (int i = 0; i < 100; ++i) get(sign());
  const Loaded loaded = get(read_loaded(device));
  const std::size_t resident = test::resident_bytes();
  for (std::uint64_t i = 0; i < count; ++i) get(sign());
  EXPECT_EQ(get(read_loaded(device)), loaded);
  EXPECT_LE(test::resident_bytes(), resident + test::growth_allowed);
}

}  // namespace
}  // namespace cs::tpm
