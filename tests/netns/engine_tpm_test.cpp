// SPDX-License-Identifier: GPL-3.0-or-later
// The engine with a key that is in a TPM: its registers move, and it loses its power.
#include "tests/netns/engine.h"
#include "tests/support/scratch.h"
#include "tests/support/swtpm.h"
#include "tools/bench/tpm_signing.h"
#include "tpm/device/pcr_commands.h"

namespace cs::test {
namespace {

class EngineWithTpm : public Engine {
 protected:
  OutThread start_tpm_signer() { return start_signer(get(signing_->make_signer())); }
  InThread start_tpm_verifier() {
    InboundKey key = ends_.inbound();
    key.verifying = get(VerifyingKey::load(ends_.scope.suite, signing_->public_key()));
    return start_verifier(Mode::enforce, {}, std::move(key));
  }
  void exchange(std::size_t packets) {
    for (std::size_t i = 0; i < packets; ++i) {
      const Packet sent = esp(40 + i);
      get(sender_.send(sent));
      expect_received(sent);
    }
  }

  Swtpm swtpm_ = get(Swtpm::start());
  std::unique_ptr<bench::TpmSigning> signing_ = get(bench::TpmSigning::start(
      clock_, {swtpm_.tcti(), swtpm_.file("keymsd.sock"), ends_.scope, ends_.lanes}));
};

TEST_P(EngineWithTpm, SignsUntilItsRegistersMove) {
  const OutThread out = start_tpm_signer();
  const InThread in = start_tpm_verifier();
  exchange(20);
  await(in->counters().verified, 20);
  EXPECT_EQ(out->counters().signer_failed.value(), 0U);
  get(signing_->owner()
          .submit(tpm::Priority::extend,
                  [](tpm::Device& device) {
                    return extend_pcr(device, 7, {tpm::Digest(tpm::HashAlgorithm::sha256)});
                  })
          .get());
  ASSERT_EQ(get(capture_.collect(20, kPatience)).size(), 20U);
  for (std::uint64_t lost = 1; lost <= 3; ++lost) {
    get(sender_.send(esp()));
    await(out->counters().signer_failed, lost);
  }
  expect_silence();
  EXPECT_FALSE(get(capture_.receive(std::chrono::milliseconds(1)))) << "it left unsigned";
  EXPECT_NE(signing_->last_failure().find("the PCRs sha256:0,1,2,3,4,5,6,7 do not have"),
            std::string::npos)
      << signing_->last_failure();
}

// A reset sets the registers back to what they were when the key was made.
TEST_P(EngineWithTpm, APowerCutCostsPacketsAndEndsWithThePower) {
  const OutThread out = start_tpm_signer();
  const InThread in = start_tpm_verifier();
  exchange(5);
  std::uint64_t sent = 5;
  const auto send_until = [&](auto reached) {
    const auto limit = std::chrono::steady_clock::now() + kPatience;
    for (; !reached() && std::chrono::steady_clock::now() < limit; ++sent) {
      send_patiently(esp());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(reached()) << signing_->last_failure();
  };
  swtpm_.kill();
  send_until([&] { return out->counters().signer_failed.value() > 0; });
  get(swtpm_.power_on());
  const std::uint64_t before = in->counters().verified.value();
  send_until([&] { return in->counters().verified.value() > before; });
  await(out->counters().received, sent);
  await(in->counters().verified, sent - out->counters().signer_failed.value());
  EXPECT_EQ(in->counters().dropped.at(static_cast<std::size_t>(Reason::bad_signature)).value(), 0U);
}

// The family makes no difference to who signs.
INSTANTIATE_TEST_SUITE_P(OneFamily, EngineWithTpm, testing::Values(Family::v4),
                         [](const auto& /*param*/) { return "IPv4"; });

}  // namespace
}  // namespace cs::test
