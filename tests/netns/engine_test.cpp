// SPDX-License-Identifier: GPL-3.0-or-later
// The data plane on this kernel's NFQUEUE, with synthetic ESP and AH:
//
//   a: sender -> postrouting [queue 10, signs] -> left ---- right -> capture -> input [queue 20,
//   verifies] -> receiver :b
#include "tests/netns/engine.h"

namespace cs::test {
namespace {

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

INSTANTIATE_TEST_SUITE_P(Alone, EngineOverIpv4, testing::Values(Family::v4));
INSTANTIATE_TEST_SUITE_P(BothFamilies, Engine, testing::Values(Family::v4, Family::v6),
                         [](const auto& param) {
                           return param.param == Family::v4 ? "IPv4" : "IPv6";
                         });

}  // namespace
}  // namespace cs::test
