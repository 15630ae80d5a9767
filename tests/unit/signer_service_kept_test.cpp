// SPDX-License-Identifier: GPL-3.0-or-later
// Keys that stay with keymsd.
#include <future>
#include <thread>

#include "keyms/tpm_root_signer.h"
#include "nfq-signer/batch.h"
#include "nfq-signer/key_from_keyms.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/unit/signer_service.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/primary_keys.h"

namespace cs::keyms {
namespace {

using std::chrono::seconds;
using test::DataPlane;
using test::get;
using test::Words;

struct FakeSigner final : StatementSigner {
  void close(std::uint32_t key) override { open.erase(key); }
  void clear() override {
    open.clear();
    ++cleared;
  }
  void take(const SignRequest& request) override {
    waiting.push_back({{request.ticket, SignStatus::busy, {}}, {}});
  }
  void collect(std::vector<Answer>& out) override { out = std::exchange(waiting, {}); }
  [[nodiscard]] std::optional<BootTime> deadline() const override { return due; }

  std::map<std::uint32_t, Opening> open;
  std::vector<Answer> waiting;
  std::optional<BootTime> due;
  int cleared = 0;
};

class KeptKeys : public test::SignerServiceTest {
 protected:
  KeptKeys() {
    start(&signer);
    set(1);
  }
  void add(std::uint64_t not_after = 1'800'000'000) {
    auto kept = outbound(5);
    kept.public_key = test::public_key(kept.scope.suite);
    kept.limit.not_after = not_after;
    kept.open = [this](const StatementSigner::Opening& opening) {
      if (refuses) return Result<void>(Error(ErrorKind::unsupported, "no such suite"));
      signer.open.insert_or_assign(opening.scope.key, opening);
      return Result<void>();
    };
    get(service->add(std::move(kept)));
  }

  FakeSigner signer;
  bool refuses = false;
};

TEST_F(KeptKeys, AreOpenedWhenTheyAreToldAndClosedWhenTheyGo) {
  add();
  EXPECT_TRUE(signer.open.empty()) << "nobody is there to ask";
  DataPlane plane = connect();
  EXPECT_EQ(plane.heard(), (Words{"welcome", "peer 1", "outbound 5 lanes 10-11", "end"}));
  EXPECT_EQ(fetches.size(), 0U);
  EXPECT_EQ(signer.open.at(5).end, clock.boot() + std::chrono::hours(1));
  service->remove(5, Table::outbound);
  EXPECT_TRUE(signer.open.empty()) << "at once";
  add(static_cast<std::uint64_t>(to_time_t(clock.wall())) + 60);
  turn();
  EXPECT_EQ(signer.open.at(5).end, clock.boot() + seconds(60));
  clock.advance(seconds(60));
  turn();
  EXPECT_TRUE(signer.open.empty()) << "by the clock on the wall";
}

TEST_F(KeptKeys, RememberWhatAnInstanceHasHadSigned) {
  add();
  const auto check_of = [this](std::uint8_t instance) {
    const DataPlane plane = connect(instance);
    return signer.open.at(5).check;
  };
  const auto first = check_of(1);
  EXPECT_NE(check_of(2), first);
  EXPECT_EQ(check_of(1), first);
}

TEST_F(KeptKeys, OfAnEarlierConnectionSignForNobodyElse) {
  add();
  get(service->add(outbound(4)));
  at_once = false;
  const DataPlane older = connect(1);
  answer(0);
  turn();
  EXPECT_EQ(signer.open.size(), 1U);
  const DataPlane newer = connect(2);
  EXPECT_EQ(signer.cleared, 1);
  EXPECT_TRUE(signer.open.empty()) << "until its own lanes are told";
}

TEST_F(KeptKeys, GoOnToTheirNewEndWithALimit) {
  add();
  DataPlane plane = connect();
  const auto before = signer.open.at(5);
  service->limit(1, clock.boot() + seconds(30));
  turn();
  EXPECT_EQ(signer.open.at(5).end, clock.boot() + seconds(30));
  EXPECT_EQ(signer.open.at(5).check, before.check);
}

TEST_F(KeptKeys, ThatDoNotOpenAreLost) {
  add();
  refuses = true;
  DataPlane plane = connect();
  EXPECT_EQ(plane.heard(), (Words{"welcome", "peer 1", "remove outbound 5", "end"}));
  EXPECT_EQ(told, (Words{"connected", "lost outbound 5: no such suite"}));
}

TEST_F(KeptKeys, AnswersGoOutWhenTheyAreDue) {
  DataPlane plane = connect();
  plane.heard();
  Loop loop(clock);
  loop.add(*service);
  signer.waiting.push_back({{1, SignStatus::failed, {}}, Error(ErrorKind::io, "the TPM")});
  signer.due = clock.boot();
  get(loop.turn());
  EXPECT_EQ(plane.heard(), Words{"reply 1 failed"});
  EXPECT_EQ(told.size(), 2U) << "and why is told";
}

class InTpm : public test::SignerServiceTest {
 protected:
  static void SetUpTestSuite() { test::require::programs({"swtpm"}); }
  void TearDown() override { service.reset(); }

  InTpm() {
    blobs =
        get(owner
                ->submit(tpm::Priority::background,
                         [this](tpm::Device& device) -> Result<tpm::KeyBlobs> {
                           CS_TRY(const auto values, read_pcrs(device, policy.selection));
                           CS_TRY(policy.composite,
                                  values.composite(policy.selection, tpm::HashAlgorithm::sha256));
                           tpm::SaltedSession session(tpm::storage_root_key());
                           return tpm::SigningKey::create(device, session, policy);
                         })
                .get());
    start(signer.get());
    set(1);
  }

  test::Swtpm swtpm = get(test::Swtpm::start());
  std::unique_ptr<tpm::Owner> owner = get(tpm::Owner::open({.tcti = swtpm.tcti()}));
  tpm::SigningKey::Policy policy{get(tpm::PcrSelection::parse("sha256:0,7")),
                                 tpm::Digest(tpm::HashAlgorithm::sha256)};
  tpm::KeyBlobs blobs;
  std::unique_ptr<TpmRootSigner> signer = get(TpmRootSigner::create(*owner, clock));
};

TEST_F(InTpm, AKeyThatStaysThereSigns) {
  auto kept = outbound(5);
  const auto public_key = get(tpm::SigningKey::public_key(blobs));
  kept.public_key.assign(public_key.begin(), public_key.end());
  kept.open = signer->opener(blobs, policy);
  const KeyScope scope = kept.scope;
  get(service->add(std::move(kept)));
  DataPlane plane = connect();
  EXPECT_EQ(plane.heard(), (Words{"welcome", "peer 1", "outbound 5 lanes 10-11", "end"}));

  const auto sign = [&](std::uint16_t lane, std::uint64_t batch) {
    const Statement statement =
        make_statement(scope_from(scope), BatchId{batch, lane, 3, test::counted<16>(0xc0)},
                       test::counted<32>(0xd0));
    plane.say(SignRequest{batch, 5, statement});
    Words heard;
    for (int i = 0; i < 20000 && heard.empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      heard = after_turn(plane);
    }
    EXPECT_EQ(heard.size(), 1U);
    return std::pair(statement, plane.last_reply);
  };
  const auto verifying = get(VerifyingKey::load(cs::Suite::p256_node16, public_key));
  const auto [statement, reply] = sign(10, 1);
  ASSERT_EQ(reply.status, SignStatus::done);
  EXPECT_TRUE(verifying.verifies(statement, reply.signature));
  EXPECT_EQ(sign(12, 2).second.status, SignStatus::lane_not_allowed);
  EXPECT_EQ(sign(10, 1).second.status, SignStatus::batch_repeated);
  service->remove(5, Table::outbound);
  after_turn(plane);
  EXPECT_EQ(sign(10, 3).second.status, SignStatus::unknown_key);
}

}  // namespace
}  // namespace cs::keyms
