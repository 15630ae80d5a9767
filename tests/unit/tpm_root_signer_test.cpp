// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/tpm_root_signer.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <future>
#include <optional>
#include <vector>

#include "nfq-signer/batch.h"
#include "nfq-signer/key_from_keyms.h"
#include "tests/support/manual_clock.h"
#include "tests/support/require.h"
#include "tests/support/swtpm.h"
#include "tests/unit/signer_messages.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/primary_keys.h"

namespace cs::keyms {
namespace {

using test::get;
using test::Swtpm;
using Answers = std::vector<TpmRootSigner::Answer>;

constexpr LaneRange lanes{4, 6};
const KeyScope scope = test::key_scope();

SignRequest request(std::uint64_t batch) {
  return {batch + 1000, scope.key,
          make_statement(scope_from(scope), BatchId{batch, 5, 3, test::counted<16>(0xc0)},
                         test::counted<32>(0xd0))};
}

class TpmRootSignerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { test::require::programs({"swtpm"}); }

  TpmRootSignerTest() {
    blobs_ =
        get(owner_
                ->submit(tpm::Priority::background,
                         [this](tpm::Device& device) -> Result<tpm::KeyBlobs> {
                           CS_TRY(const auto values, read_pcrs(device, policy_.selection));
                           CS_TRY(policy_.composite,
                                  values.composite(policy_.selection, tpm::HashAlgorithm::sha256));
                           tpm::SaltedSession session(tpm::storage_root_key());
                           return tpm::SigningKey::create(device, session, policy_);
                         })
                .get());
    open();
  }
  // A test that has failed may leave it held.
  void TearDown() override { release(); }

  StatementSigner::Opening opening() const {
    return {scope, clock_.boot() + std::chrono::hours(1),
            std::make_shared<StatementCheck>(scope, lanes)};
  }
  void open() { get(signer_->open(opening(), tpm::SigningKey(blobs_, policy_))); }
  // The TPM does nothing until release().
  void hold() {
    held_.emplace();
    owner_->post(tpm::Priority::extend, [until = held_->get_future().share()](
                                            const Result<tpm::Device*>& /*tpm*/) { until.wait(); });
  }
  void release() {
    if (held_) held_->set_value();
    held_.reset();
  }
  Answers collect(std::size_t count) {
    Answers answers;
    while (answers.size() < count) {
      pollfd readable{signer_->fd(), POLLIN, 0};
      if (::poll(&readable, 1, 20000) <= 0) break;
      signer_->collect(answers);
    }
    EXPECT_EQ(answers.size(), count);
    answers.resize(count);
    return answers;
  }
  SignStatus only_status() { return collect(1).front().reply.status; }

  Swtpm swtpm_ = get(Swtpm::start());
  test::ManualClock clock_;
  std::unique_ptr<tpm::Owner> owner_ = get(tpm::Owner::open({.tcti = swtpm_.tcti()}));
  tpm::SigningKey::Policy policy_{get(tpm::PcrSelection::parse("sha256:0,7,23")),
                                  tpm::Digest(tpm::HashAlgorithm::sha256)};
  tpm::KeyBlobs blobs_;
  std::unique_ptr<TpmRootSigner> signer_ = get(TpmRootSigner::create(*owner_, clock_));
  std::optional<std::promise<void>> held_;
};

TEST_F(TpmRootSignerTest, AnswersInTheOrderOfRequests) {
  const auto verifying =
      get(VerifyingKey::load(cs::Suite::p256_node16, get(tpm::SigningKey::public_key(blobs_))));
  for (std::uint64_t i = 0; i < 20; ++i) signer_->take(request(i));
  const Answers answers = collect(20);
  for (std::uint64_t i = 0; i < 20; ++i) {
    const SignReply& reply = answers[i].reply;
    EXPECT_EQ(reply.ticket, request(i).ticket);
    EXPECT_EQ(reply.status, SignStatus::done);
    EXPECT_TRUE(verifying.verifies(request(i).statement, reply.signature));
  }
}

TEST_F(TpmRootSignerTest, SignsStatementsOfItsKeysOnly) {
  signer_->take(request(5));
  EXPECT_EQ(only_status(), SignStatus::done);
  signer_->take(request(5));
  EXPECT_EQ(only_status(), SignStatus::batch_repeated);
  SignRequest other = request(6);
  other.statement[121] = 'x';  // the root is free
  other.statement[0] = 'x';
  signer_->take(other);
  EXPECT_EQ(only_status(), SignStatus::not_a_statement);
  other = request(7);
  ++other.key;
  signer_->take(other);
  EXPECT_EQ(only_status(), SignStatus::unknown_key);
  clock_.advance(std::chrono::hours(1));
  signer_->take(request(8));
  EXPECT_EQ(only_status(), SignStatus::unknown_key);
  StatementSigner::Opening ed25519 = opening();
  ed25519.scope.suite = Suite::ed25519_node16;
  EXPECT_FALSE(signer_->opener(blobs_, policy_)(ed25519).ok());
}

TEST_F(TpmRootSignerTest, IsBusyAboveItsLimit) {
  hold();
  for (std::uint64_t i = 0; i <= max_unanswered; ++i) signer_->take(request(i));
  const auto refused = collect(1).front().reply;
  EXPECT_EQ(refused.status, SignStatus::busy);
  EXPECT_EQ(refused.ticket, request(max_unanswered).ticket);
  release();
  for (const auto& answer : collect(max_unanswered)) {
    EXPECT_EQ(answer.reply.status, SignStatus::done);
  }
  signer_->take(request(max_unanswered));  // nothing was looked at
  EXPECT_EQ(only_status(), SignStatus::done);
}

TEST_F(TpmRootSignerTest, WhatEndsMeanwhileHasNotSigned) {
  const auto with_one_under_way = [&](std::uint64_t batch, auto change) {
    hold();
    signer_->take(request(batch));
    change();
    release();
  };
  with_one_under_way(0, [&] { signer_->close(scope.key); });
  EXPECT_EQ(only_status(), SignStatus::unknown_key);
  open();
  with_one_under_way(1, [&] { open(); });
  EXPECT_EQ(only_status(), SignStatus::unknown_key);
  with_one_under_way(2, [&] { signer_->clear(); });
  signer_->take(request(3));
  const SignReply reply = collect(1).front().reply;
  EXPECT_EQ(reply.ticket, request(3).ticket);
  EXPECT_EQ(reply.status, SignStatus::unknown_key);
  open();
  with_one_under_way(4, [&] { clock_.advance(std::chrono::hours(1)); });
  EXPECT_EQ(only_status(), SignStatus::unknown_key);
}

// A renewal shortens its end while it signs.
TEST_F(TpmRootSignerTest, OpenedWithTheSameCheckAKeyGoesOnToItsNewEnd) {
  StatementSigner::Opening same = opening();
  const auto open_same = signer_->opener(blobs_, policy_);
  get(open_same(same));
  hold();
  signer_->take(request(1));
  same.end = clock_.boot() + std::chrono::minutes(1);
  get(open_same(same));
  release();
  EXPECT_EQ(only_status(), SignStatus::done);
  signer_->clear();
  get(open_same(same));
  signer_->take(request(1));
  EXPECT_EQ(only_status(), SignStatus::batch_repeated) << "its lanes remember";
  clock_.advance(std::chrono::minutes(1));
  signer_->take(request(2));
  EXPECT_EQ(only_status(), SignStatus::unknown_key);
}

TEST_F(TpmRootSignerTest, AKeyWhoseRegistersMovedIsGone) {
  get(owner_
          ->submit(tpm::Priority::extend,
                   [](tpm::Device& device) {
                     return extend_pcr(device, 23, {tpm::Digest(tpm::HashAlgorithm::sha256)});
                   })
          .get());
  hold();
  for (std::uint64_t i = 0; i < 3; ++i) signer_->take(request(i));
  release();
  const Answers answers = collect(3);
  EXPECT_EQ(answers[0].reply.status, SignStatus::failed);
  ASSERT_TRUE(answers[0].why);
  EXPECT_NE(answers[0].why->message().find("the PCRs sha256:0,7,23 do not have"),
            std::string::npos);
  for (const auto& later : {answers[1], answers[2]}) {
    EXPECT_EQ(later.reply.status, SignStatus::unknown_key);
    EXPECT_FALSE(later.why);
  }
  hold();  // it is not even asked
  signer_->take(request(3));
  EXPECT_EQ(only_status(), SignStatus::unknown_key);
}

}  // namespace
}  // namespace cs::keyms
