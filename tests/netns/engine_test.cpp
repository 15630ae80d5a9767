// SPDX-License-Identifier: GPL-3.0-or-later
// The data plane on this kernel's NFQUEUE, with synthetic ESP and AH:
//
//   a: sender -> postrouting [queue 10, signs] -> left ---- right -> capture -> input [queue 20,
//   verifies] -> receiver :b
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <random>

#include "nfq-signer/inbound_worker.h"
#include "nfq-signer/outbound_worker.h"
#include "nfq-signer/worker_thread.h"
#include "tests/netns/environment.h"
#include "tests/unit/wire_packets.h"

namespace cs::test {
namespace {

constexpr int kOut = 10;
constexpr int kIn = 20;
constexpr std::uint32_t kPast = 0x80;  // a packet with this mark is not signed: the attacker's
constexpr std::uint32_t kVerified = 0x10000;
constexpr std::uint8_t kProtocolAh = 51;

using OutThread = std::unique_ptr<WorkerThread<OutboundWorker>>;
using InThread = std::unique_ptr<WorkerThread<InboundWorker>>;

class Engine : public testing::TestWithParam<Family> {
 protected:
  Engine()
      : pair_(get(make_pair())),
        sender_(get(pair_.a.run([] { return PacketSender::open(); }))),
        attacker_(get(pair_.a.run([] { return PacketSender::open(kPast); }))),
        esp_(get(pair_.b.run([] { return RawReceiver::open(GetParam()); }))),
        ah_(get(pair_.b.run([] { return RawReceiver::open(GetParam(), kProtocolAh); }))),
        capture_(get(pair_.b.run([] {
          return Capture::open("right", {kProtocolEsp, kProtocolAh});
        }))) {
    for (const char* match : {"esp", "ah"}) {
      rule(pair_.a, "POSTROUTING", match, {"-m", "mark", "!", "--mark", "0x80/0x80"}, kOut);
      rule(pair_.b, "INPUT", match, {}, kIn);
    }
  }

  static bool is_v4() { return GetParam() == Family::v4; }
  static void rule(const Netns& netns, const char* chain, const std::string& protocol,
                   std::vector<std::string> more, int queue) {
    std::vector<std::string> all{"-A", chain};
    // `ip6tables -p ah` matches nothing: AH is an extension header there.
    if (protocol == "ah" && !is_v4()) {
      all.insert(all.end(), {"-m", "ah"});
    } else {
      all.insert(all.end(), {"-p", protocol});
    }
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), {"-j", "NFQUEUE", "--queue-num", std::to_string(queue)});
    get(change_mangle(netns, GetParam(), all));
  }

  // ESP or AH from a to b, of the tested family.
  Packet packet(Shape shape, std::size_t body) {
    Packet made = make_packet(shape, body, random_);
    const EspSpec spec{.source = kAddressesA.at(is_v4() ? 0 : 1),
                       .target = kAddressesB.at(is_v4() ? 0 : 1)};
    const Packet addressed = esp_packet(spec);
    const auto copy = [&](std::ptrdiff_t from, std::ptrdiff_t to) {
      std::copy(addressed.begin() + from, addressed.begin() + to, made.begin() + from);
    };
    is_v4() ? copy(12, 20) : copy(8, 40);
    if (is_v4()) {
      put16(made, 4, 0x4321);  // the kernel would replace 0
      put16(made, 10, 0);
      put16(made, 10, static_cast<std::uint16_t>(~ones_sum(ByteView(made).first(20))));
    }
    return made;
  }
  Packet esp(std::size_t body = 80) { return packet(is_v4() ? Shape::esp4 : Shape::esp6, body); }
  Packet ah(std::size_t body = 80) { return packet(is_v4() ? Shape::ah4 : Shape::ah6, body); }

  OutThread start_signer(std::unique_ptr<RootSigner> signer = nullptr,
                         OutboundWorker::Options options = {}) {
    auto queue = get(pair_.a.run([] { return Queue::open({.number = kOut}); }));
    OutboundWorker worker =
        get(OutboundWorker::create(std::move(queue), clock_, std::move(options)));
    if (!signer) signer = std::make_unique<LocalSigner>(ends_.signing());
    worker.set_peer({1, Mode::enforce, {address(kAddressesB)}});
    worker.set_key(1, ends_.outbound(), std::move(signer));
    return get(WorkerThread<OutboundWorker>::start(std::move(worker)));
  }
  InThread start_verifier(Mode mode = Mode::enforce, Queue::Options options = {}) {
    options.number = kIn;
    auto queue = get(pair_.b.run([&] { return Queue::open(options); }));
    InboundWorker worker =
        get(InboundWorker::create(std::move(queue), clock_, {.mark = {kVerified, kVerified}}));
    get(worker.verifier().add_key(ends_.inbound()));
    worker.set_peer({1, mode, {address(kAddressesA)}});
    return get(WorkerThread<InboundWorker>::start(std::move(worker)));
  }
  static Address address(const std::array<const char*, 2>& of) {
    const Packet shown =
        esp_packet({.source = of.at(is_v4() ? 0 : 1), .target = of.at(is_v4() ? 0 : 1)});
    return source_of(layout_of(shown), shown);
  }

  // What waits in a queue counts as not yet sent by the socket, so a burst fills it.
  void send_patiently(const Packet& one) const {
    auto sent = sender_.send(one);
    for (; !sent.ok() && sent.error().kind() == ErrorKind::busy; sent = sender_.send(one))
      std::this_thread::yield();
    get(sent);
  }
  void expect_received(const Packet& sent) const {
    const bool is_ah = layout_of(sent).protocol == Protocol::ah;
    const auto got = get((is_ah ? ah_ : esp_).receive(kPatience));
    ASSERT_TRUE(got) << "nothing arrived";
    EXPECT_EQ(*got, RawReceiver::form_of(sent));
  }
  void expect_silence() const {
    EXPECT_FALSE(get(esp_.receive(kSilence))) << "a packet arrived";
    EXPECT_FALSE(get(ah_.receive(std::chrono::milliseconds(1)))) << "a packet arrived";
  }
  // Packets signed by the worker in a and held back before b, as an attacker on the way has them.
  std::vector<Packet> signed_on_the_way(const std::vector<Packet>& plain) {
    const OutThread signer = start_signer();
    for (const Packet& one : plain) get(sender_.send(one));
    std::vector<Packet> out;
    for (auto& seen : get(capture_.collect(plain.size(), kPatience))) out.push_back(seen.bytes);
    EXPECT_EQ(out.size(), plain.size());
    return out;
  }
  // Patient as long as it gets on: with a sanitizer a million packets take their time.
  static void await(const Counter& counter, std::uint64_t value) {
    using Time = std::chrono::steady_clock;
    std::uint64_t last = counter.value();
    for (auto moved = Time::now(); last < value && Time::now() < moved + kPatience;) {
      std::this_thread::yield();
      if (counter.value() == last) continue;
      last = counter.value();
      moved = Time::now();
    }
    EXPECT_EQ(counter.value(), value);
  }

  SystemClock clock_;
  Ends ends_;
  Pair pair_;
  PacketSender sender_, attacker_;
  RawReceiver esp_, ah_;
  Capture capture_;
  std::mt19937 random_{5};
};

TEST_P(Engine, SignedOnTheWireAndAsItWasBehindIt) {
  const OutThread signer = start_signer();
  const InThread verifier = start_verifier();
  for (const std::size_t body : {16U, 80U, 1000U}) {
    for (const Packet& sent : {esp(body), ah(body)}) {
      get(sender_.send(sent));
      expect_received(sent);
      const auto seen = get(capture_.receive(kPatience));
      ASSERT_TRUE(seen);
      Extension extension;
      EXPECT_EQ(parse_extension(layout_of(seen->bytes), seen->bytes, extension), Reason::none);
    }
  }
  await(signer->counters().signed_out, 6);
  await(verifier->counters().verified, 6);
}

TEST_P(Engine, ManyAtOnceBecomeFewBatchesInOrder) {
  constexpr std::size_t count = 500;
  std::vector<Packet> sent;
  for (std::size_t i = 0; i < count; ++i) sent.push_back(esp(40 + i % 100));
  const OutThread signer = start_signer();
  const InThread verifier = start_verifier();
  for (const Packet& one : sent) send_patiently(one);
  for (const Packet& one : sent) expect_received(one);
  EXPECT_LT(verifier->counters().signatures_checked.value(), count / 2);
  await(verifier->counters().signatures_checked, signer->counters().batches.value());
}

TEST_P(Engine, WithoutEitherEndNothingPasses) {
  get(sender_.send(esp()));
  expect_silence();
  {
    const OutThread signer = start_signer();
    get(sender_.send(esp()));
    expect_silence();  // nobody verifies
  }
  const InThread verifier = start_verifier();
  get(sender_.send(esp()));
  expect_silence();  // nobody signs any more
  get(attacker_.send(esp()));
  expect_silence();  // not signed
  EXPECT_EQ(verifier->counters().dropped.at(static_cast<std::size_t>(Reason::no_extension)).value(),
            1U);
}

TEST_P(Engine, LossReorderAndDuplicationAreHarmless) {
  std::vector<Packet> plain;
  for (int i = 0; i < 60; ++i) plain.push_back(esp(60));
  std::vector<Packet> wire = signed_on_the_way(plain);
  std::vector<std::size_t> order(wire.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random_);
  order.resize(40);
  const InThread verifier = start_verifier();
  for (const std::size_t i : order) {
    get(attacker_.send(wire[i]));
    get(attacker_.send(wire[i]));  // the kernel's replay window is for these
    expect_received(plain[i]);
    expect_received(plain[i]);
  }
  EXPECT_EQ(verifier->counters().verified.value(), 80U);
}

TEST_P(Engine, TruncatedAtEveryLengthNothingPasses) {
  const Packet wire = signed_on_the_way({esp(40)}).front();
  const InThread verifier = start_verifier();
  const std::size_t header = is_v4() ? 20 : 40;
  std::uint64_t sent = 0;
  for (std::size_t size = header + 1; size < wire.size(); ++size, ++sent) {
    Packet cut(wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(size));
    put16(cut, is_v4() ? 2 : 4, is_v4() ? size : size - header);
    get(attacker_.send(cut));
  }
  await(verifier->counters().received, sent);
  expect_silence();
}

TEST_P(Engine, FlippedBitsNeverPass) {
  const Packet plain = esp(40);
  const Packet wire = signed_on_the_way({plain}).front();
  const InThread verifier =
      start_verifier(Mode::enforce, {.length = 1U << 20U, .receive_buffer = 512U << 20U});
  const std::size_t header = is_v4() ? 20 : 40;
  const std::size_t bits = (wire.size() - header) * 8;
  // Each bit in turn, then pairs of them, a million packets in all.
  constexpr std::uint64_t count = 1'000'000;
  for (std::uint64_t i = 0; i < count; ++i) {
    Packet changed = wire;
    const std::size_t bit = i < bits ? i : random_() % bits;
    changed[header + bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    if (i >= bits) {
      const std::size_t other = (bit + 1 + random_() % (bits - 1)) % bits;
      changed[header + other / 8] ^= static_cast<std::uint8_t>(1U << (other % 8));
    }
    get(attacker_.send(changed));
  }
  await(verifier->counters().received, count);
  EXPECT_EQ(verifier->counters().verified.value(), 0U);
  EXPECT_EQ(verifier->counters().signatures_checked.value(), 0U);
  expect_silence();
  get(attacker_.send(wire));
  expect_received(plain);
}

TEST_P(Engine, ModesSayWhatHappensToWhatDoesNotVerify) {
  const Packet plain = esp(40);
  const Packet wire = signed_on_the_way({plain}).front();
  Packet spoiled = wire;
  spoiled[(is_v4() ? 20 : 40) + 10] ^= 1;
  Packet spoiled_plain = plain;
  spoiled_plain[(is_v4() ? 20 : 40) + 10] ^= 1;
  for (const Mode mode : {Mode::audit, Mode::sign_only, Mode::off}) {
    const InThread verifier = start_verifier(mode);
    get(attacker_.send(plain));
    expect_received(plain);
    get(attacker_.send(wire));
    expect_received(mode == Mode::off ? wire : plain);
    get(attacker_.send(spoiled));
    expect_received(mode == Mode::off ? spoiled : spoiled_plain);
    const WorkerCounters& counters = verifier->counters();
    const auto tolerated = [&](Reason reason) {
      return counters.tolerated.at(static_cast<std::size_t>(reason)).value();
    };
    EXPECT_EQ(counters.verified.value(), mode == Mode::audit ? 1U : 0U);
    EXPECT_EQ(tolerated(Reason::no_extension), mode == Mode::off ? 0U : 1U);
    EXPECT_EQ(tolerated(Reason::bad_tag), mode == Mode::audit ? 1U : 0U);
    EXPECT_EQ(counters.unasked.value(), mode == Mode::sign_only ? 2U : 0U);
    EXPECT_EQ(counters.untouched.value(), mode == Mode::off ? 3U : 0U);
  }
}

// More than fits: what is lost is counted to the packet, by us or in the kernel's table.
TEST_P(Engine, OverflowIsCountedExactly) {
  constexpr std::uint32_t length = 100;
  const std::vector<Packet> wire = signed_on_the_way({esp(), esp()});
  auto queue = get(pair_.b.run([] { return Queue::open({.number = kIn, .length = length}); }));
  for (std::uint32_t i = 0; i < length; ++i) {
    for (const Packet& one : wire) get(attacker_.send(one));
  }
  EXPECT_EQ(get(capture_.collect(2 * length, kPatience)).size(), 2 * length);
  InboundWorker worker = get(InboundWorker::create(std::move(queue), clock_, {}));
  get(worker.verifier().add_key(ends_.inbound()));
  for (int i = 0; i < 10; ++i) get(worker.work());
  EXPECT_EQ(worker.counters().received.value(), length);
  EXPECT_EQ(worker.counters().verified.value(), length);
  EXPECT_EQ(worker.counters().lost.value(), 0U);
  EXPECT_EQ(get(pair_.b.run([] { return queue_row(kIn); })).dropped, length);
}

TEST_P(Engine, AFullReceiveBufferIsCountedExactly) {
  const std::vector<Packet> wire = signed_on_the_way({esp(), esp()});
  auto queue = get(pair_.b.run(
      [] { return Queue::open({.number = kIn, .length = 4000, .receive_buffer = 65536}); }));
  constexpr std::uint64_t sent = 1000;
  for (std::uint64_t i = 0; i < sent; ++i) get(attacker_.send(wire[i % 2]));
  EXPECT_EQ(get(capture_.collect(sent, kPatience)).size(), sent);
  InboundWorker worker = get(InboundWorker::create(std::move(queue), clock_, {}));
  get(worker.verifier().add_key(ends_.inbound()));
  for (int i = 0; i < 50; ++i) get(worker.work());
  get(attacker_.send(wire[0]));  // the gap shows with the next packet
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const std::uint64_t before = worker.counters().received.value();
  while (worker.counters().received.value() == before &&
         std::chrono::steady_clock::now() < deadline)
    get(worker.work());
  EXPECT_GT(worker.counters().lost.value(), 0U);
  EXPECT_EQ(worker.counters().lost.value() + worker.counters().received.value(), sent + 1);
}

// Signs after a while, or never, or refuses.
class SlowSigner final : public RootSigner {
 public:
  explicit SlowSigner(SigningKey key, std::size_t depth)
      : key_(std::move(key)), depth_(depth), ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  [[nodiscard]] std::size_t depth() const noexcept override { return depth_; }
  [[nodiscard]] bool submit(std::uint64_t ticket, const Statement& statement) override {
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

TEST_P(Engine, RenewalLosesNothing) {
  const OutThread out = start_signer();
  const InThread in = start_verifier();
  Ends next(Suite::ed25519_node32, 8, 2);
  std::vector<Packet> sent;
  for (int i = 0; i < 400; ++i) {
    if (i == 100) {
      get(get(in->call(
          [&](InboundWorker& worker) { return worker.verifier().add_key(next.inbound()); })));
    }
    if (i == 200) {
      get(out->call([&](OutboundWorker& worker) {
        return worker.set_key(1, next.outbound(), std::make_unique<LocalSigner>(next.signing()));
      }));
    }
    sent.push_back(esp());
    send_patiently(sent.back());
  }
  for (const Packet& one : sent) expect_received(one);
  EXPECT_TRUE(
      get(in->call([&](InboundWorker& worker) { return worker.verifier().remove_key(7); })));
  get(sender_.send(sent.front()));
  expect_received(sent.front());
}

TEST_P(Engine, AKeyThatEndedSignsNothing) {
  ends_.end.deadline = clock_.boot();
  const OutThread out = start_signer();
  get(sender_.send(esp()));
  await(out->counters().received, 1);
  EXPECT_EQ(out->counters().dropped.at(static_cast<std::size_t>(Reason::expired_key)).value(), 1U);
  EXPECT_FALSE(get(capture_.receive(kSilence)));
}

Packet with_df(Packet packet, bool df = true) {
  put16(packet, 6, df ? 0x4000 : 0);
  put16(packet, 10, 0);
  put16(packet, 10, static_cast<std::uint16_t>(~ones_sum(ByteView(packet).first(20))));
  return packet;
}

using EngineOverIpv4 = Engine;  // IPv6 has no DF
TEST_P(EngineOverIpv4, WhatThePathCannotTakeGoesInFragmentsAndComesBackWhole) {
  const OutThread out = start_signer();
  const InThread in = start_verifier();
  get(pair_.a.must({"ip", "link", "set", "left", "mtu", "576"}));
  const auto counters = std::make_shared<PathCounters>(std::uint16_t{0xffff});
  const auto set_path = [&](bool clears_df) {
    const PathLimit narrow{address(kAddressesB), 576, 64, clears_df, counters};
    get(out->call([&](OutboundWorker& worker) { worker.set_paths({narrow}); }));
  };
  set_path(true);
  for (const Packet& sent :
       {with_df(esp(500)), with_df(ah(500)), with_df(esp(300)), with_df(esp(500), false)}) {
    get(sender_.send(sent));
    expect_received(sent);
  }
  EXPECT_EQ(counters->fragmented.load(), 3U);  // all but the short one
  EXPECT_EQ(counters->next_identification, 1U);
  set_path(false);
  const Packet lost = with_df(esp(500));
  get(sender_.send(lost));
  expect_silence();
  EXPECT_EQ(counters->largest_lost, lost.size() + fixed_extension);
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

INSTANTIATE_TEST_SUITE_P(Alone, EngineOverIpv4, testing::Values(Family::v4));
INSTANTIATE_TEST_SUITE_P(BothFamilies, Engine, testing::Values(Family::v4, Family::v6),
                         [](const auto& param) {
                           return param.param == Family::v4 ? "IPv4" : "IPv6";
                         });

}  // namespace
}  // namespace cs::test
