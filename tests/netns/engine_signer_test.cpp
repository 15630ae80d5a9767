// SPDX-License-Identifier: GPL-3.0-or-later
// The engine with a signer that is somewhere else: slow, busy, refusing or gone.
#include "tests/netns/engine.h"

namespace cs::test {
namespace {

// Signs after a while, or never, or refuses.
class SlowSigner final : public RootSigner {
 public:
  explicit SlowSigner(SigningKey key, std::size_t depth)
      : key_(std::move(key)), depth_(depth), ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  [[nodiscard]] std::size_t depth() const noexcept override { return depth_; }
  [[nodiscard]] bool submit(std::uint64_t ticket, const Statement& statement) override {
    if (on_submit) on_submit();
    const std::scoped_lock lock(mutex_);
    waiting_.emplace_back(ticket, statement);
    return true;
  }
  void collect(std::vector<Reply>& out) override {
    const std::scoped_lock lock(mutex_);
    eventfd_t ignored = 0;
    static_cast<void>(eventfd_read(ready_.get(), &ignored));
    out.insert(out.end(), done_.begin(), done_.end());
    done_.clear();
  }
  [[nodiscard]] int fd() const noexcept override { return ready_.get(); }

  std::function<void()> on_submit;  // set before the worker has it

  std::size_t waiting() {
    const std::scoped_lock lock(mutex_);
    return waiting_.size();
  }
  // Answers the last one first, which must not change the order of packets.
  void answer(bool refuse = false) {
    const std::scoped_lock lock(mutex_);
    std::reverse(waiting_.begin(), waiting_.end());
    for (const auto& [ticket, statement] : waiting_) {
      done_.push_back({ticket, refuse ? std::nullopt : std::optional(get(key_.sign(statement)))});
    }
    waiting_.clear();
    eventfd_write(ready_.get(), 1);
  }
  // Is too busy for the first one, and signs what came later.
  void answer_later_ones() {
    {
      const std::scoped_lock lock(mutex_);
      done_.push_back({waiting_.front().first, std::nullopt, true});
      waiting_.erase(waiting_.begin());
    }
    answer();
  }

 private:
  SigningKey key_;
  std::size_t depth_;
  UniqueFd ready_;
  std::mutex mutex_;
  std::vector<std::pair<std::uint64_t, Statement>> waiting_;
  std::vector<Reply> done_;
};

TEST_P(Engine, APipelinedSignerKeepsTheOrderOfPackets) {
  auto owned = std::make_unique<SlowSigner>(ends_.signing(), 2);
  SlowSigner& signer = *owned;
  const OutThread out = start_signer(std::move(owned), {.interval = std::chrono::microseconds(0)});
  const InThread in = start_verifier();
  std::vector<Packet> sent;
  const auto send = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      sent.push_back(esp(30 + i));
      get(sender_.send(sent.back()));
    }
  };
  send(1);
  await(out->counters().batches, 1);
  send(1);
  await(out->counters().batches, 2);
  send(20);  // while both are being signed these gather
  await(out->counters().received, 22);
  EXPECT_EQ(signer.waiting(), 2U);
  expect_silence();
  signer.answer();
  await(out->counters().batches, 3);
  signer.answer();
  for (const Packet& one : sent) expect_received(one);
  await(in->counters().signatures_checked, 3);
}

// It would else stand idle while a whole batch is given back.
TEST_P(Engine, ASlowSignerGetsTheNextBatchBeforeTheLastIsGivenBack) {
  auto owned = std::make_unique<SlowSigner>(ends_.signing(), 1);
  SlowSigner& signer = *owned;
  std::shared_ptr<const WorkerCounters> counters;
  std::vector<std::uint64_t> given_back;  // when a batch was submitted
  owned->on_submit = [&] { given_back.push_back(counters->signed_out.value()); };
  const OutThread out = start_signer(std::move(owned), {.interval = std::chrono::microseconds(0)});
  counters = get(out->call([](OutboundWorker& worker) { return worker.share_counters(); }));
  for (const std::uint64_t sent : {1U, 2U}) {
    get(sender_.send(esp()));
    await(out->counters().received, sent);
  }
  signer.answer();
  await(out->counters().batches, 2);
  signer.answer();
  EXPECT_EQ(get(capture_.collect(2, kPatience)).size(), 2U);
  EXPECT_EQ(given_back, (std::vector<std::uint64_t>{0, 0}));
}

TEST_P(Engine, ASignerThatRefusesOrStallsCostsPacketsAndNothingElse) {
  auto owned = std::make_unique<SlowSigner>(ends_.signing(), 1);
  SlowSigner& signer = *owned;
  const OutThread out =
      start_signer(std::move(owned), {.signer_limit = std::chrono::milliseconds(300)});
  const InThread in = start_verifier();
  get(sender_.send(esp()));
  await(out->counters().batches, 1);
  signer.answer(true);
  await(out->counters().signer_failed, 1);
  get(sender_.send(esp()));  // nobody answers
  await(out->counters().signer_failed, 2);
  expect_silence();
  const Packet last = esp();
  get(sender_.send(last));
  await(out->counters().batches, 3);
  signer.answer();
  expect_received(last);
  await(in->counters().received, 1);
}

TEST_P(Engine, ABusySignerIsAskedAgainAndTheOrderStays) {
  auto owned = std::make_unique<SlowSigner>(ends_.signing(), 2);
  SlowSigner& signer = *owned;
  const OutThread out = start_signer(std::move(owned), {.interval = std::chrono::microseconds(0)});
  const InThread in = start_verifier();
  const std::vector<Packet> sent{esp(30), esp(31)};
  for (std::size_t i = 0; i < sent.size(); ++i) {
    get(sender_.send(sent[i]));
    await(out->counters().batches, i + 1);
  }
  signer.answer_later_ones();
  await(out->counters().asked_again, 1);
  expect_silence();  // the second one is signed, and waits for the first
  EXPECT_EQ(signer.waiting(), 1U);
  signer.answer();
  for (const Packet& one : sent) expect_received(one);
  for (const Packet& one : sent) {
    const auto seen = get(capture_.receive(kPatience));
    ASSERT_TRUE(seen);
    Extension extension;
    ASSERT_EQ(parse_extension(layout_of(seen->bytes), seen->bytes, extension), Reason::none);
    EXPECT_EQ(extension.fields.batch, one == sent.front() ? 2U : 1U) << "not under the next number";
  }
  EXPECT_EQ(out->counters().signer_failed.value(), 0U);
}

TEST_P(Engine, ASignerThatStaysBusyIsGivenUpWithoutABusyLoop) {
  auto owned = std::make_unique<SlowSigner>(ends_.signing(), 1);
  SlowSigner& signer = *owned;
  const OutThread out =
      start_signer(std::move(owned), {.signer_limit = std::chrono::milliseconds(300)});
  get(sender_.send(esp()));
  while (out->counters().signer_failed.value() == 0) {
    if (signer.waiting() != 0) signer.answer_later_ones();
    std::this_thread::yield();
  }
  const std::uint64_t asked = out->counters().asked_again.value();
  EXPECT_GE(asked, 3U);
  EXPECT_LE(asked, 15U) << "after 10 ms four times, then after ever longer";
}

TEST_P(Engine, ABatchIsNoLargerThanItsPathAllows) {
  auto owned = std::make_unique<SlowSigner>(ends_.signing(), 1);
  SlowSigner& signer = *owned;
  const OutThread out = start_signer(std::move(owned), {.interval = std::chrono::microseconds(0)});
  const auto counters = std::make_shared<PathCounters>(std::uint16_t{0});
  const PathLimit four{address(kAddressesB), 1500, 4, false, counters};
  get(out->call([&](OutboundWorker& worker) { worker.set_paths({four}); }));
  for (int i = 0; i < 9; ++i) get(sender_.send(esp()));
  await(out->counters().received, 9);
  for (const std::uint64_t batch : {1U, 2U, 3U}) {
    await(out->counters().batches, batch);
    signer.answer();
  }
  EXPECT_EQ(get(capture_.collect(9, kPatience)).size(), 9U);
  for (std::size_t i = 3; i < 16; ++i) EXPECT_EQ(out->counters().batch_sizes.at(i).value(), 0U);
}

INSTANTIATE_TEST_SUITE_P(BothFamilies, Engine, testing::Values(Family::v4, Family::v6),
                         [](const auto& param) {
                           return param.param == Family::v4 ? "IPv4" : "IPv6";
                         });

}  // namespace
}  // namespace cs::test
