// SPDX-License-Identifier: GPL-3.0-or-later
// What the project relies on NFQUEUE for, on this machine's kernel, with synthetic ESP:
//
//   a: sender -> postrouting [queue 10] -> left ---- right -> capture -> input [queue 20] ->
//   receiver :b
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "tests/netns/environment.h"
#include "tests/support/unwrap.h"

namespace cs::test {
namespace {

constexpr int kOut = 10;
constexpr int kIn = 20;
constexpr std::ptrdiff_t kExtension = 176;

class Nfqueue : public testing::TestWithParam<Family> {
 protected:
  Nfqueue()
      : pair_(get(make_pair())),
        sender_(get(pair_.a.run([] { return PacketSender::open(); }))),
        receiver_(get(pair_.b.run([] { return RawReceiver::open(family()); }))),
        capture_(get(pair_.b.run([] { return Capture::open("right"); }))) {}

  static Family family() { return GetParam(); }
  static std::size_t index() { return family() == Family::v4 ? 0 : 1; }

  static Bytes packet(std::uint32_t sequence = 1, std::size_t body = 80) {
    return esp_packet({.source = kAddressesA.at(index()),
                       .target = kAddressesB.at(index()),
                       .sequence = sequence,
                       .body = body});
  }

  static void rule(const Netns& netns, std::vector<std::string> rule) {
    get(change_mangle(netns, family(), std::move(rule)));
  }
  void queue_input() const { rule(pair_.b, queue_esp("-A", "INPUT", kIn)); }

  [[nodiscard]] NfQueue open_input(NfQueue::Options options = {}) const {
    options.number = kIn;
    return get(pair_.b.run([&] { return NfQueue::open(options); }));
  }

  // Waits until `count` packets came to b's interface, so that silence behind it means something.
  std::vector<Capture::Packet> expect_on_wire(std::size_t count) {
    auto seen = get(capture_.collect(count, kPatience));
    EXPECT_EQ(seen.size(), count);
    return seen;
  }
  void expect_received(const Bytes& sent) const {
    const auto got = get(receiver_.receive(kPatience));
    ASSERT_TRUE(got) << "nothing arrived";
    EXPECT_EQ(*got, RawReceiver::form_of(sent));
  }
  void expect_silence() const {
    EXPECT_FALSE(get(receiver_.receive(kSilence))) << "a packet arrived";
  }

  Pair pair_;
  PacketSender sender_;
  RawReceiver receiver_;
  Capture capture_;
};

TEST_P(Nfqueue, WithoutListenerThePacketIsDropped) {
  queue_input();
  get(sender_.send(packet()));
  expect_on_wire(1);
  expect_silence();
  rule(pair_.b, queue_esp("-D", "INPUT", kIn));
  get(sender_.send(packet(2)));
  expect_received(packet(2));
}

TEST_P(Nfqueue, AcceptedArrivesByteForByte) {
  queue_input();
  std::mutex mutex;
  std::vector<Bytes> queued;
  QueueThread listener(open_input(), [&](const QueuedPacket& p) {
    const std::lock_guard lock(mutex);
    queued.emplace_back(p.payload.begin(), p.payload.end());
    return Verdict::accept();
  });
  get(sender_.send(packet()));
  expect_received(packet());
  EXPECT_EQ(get(listener.stop()).handled, 1U);
  EXPECT_EQ(queued, std::vector<Bytes>{packet()});
}

TEST_P(Nfqueue, ExtendedOnTheWayOutAndRestoredOnTheWayIn) {
  rule(pair_.a, queue_esp("-A", "POSTROUTING", kOut));
  queue_input();
  const auto resize_by = [](std::ptrdiff_t change) {
    return [change](const QueuedPacket& p) {
      Bytes changed(p.payload.begin(), p.payload.end());
      return resize_packet(changed, change) ? Verdict::replace(std::move(changed))
                                            : Verdict::drop();
    };
  };
  auto out = get(pair_.a.run([] { return NfQueue::open({.number = kOut}); }));
  QueueThread signer(std::move(out), resize_by(kExtension));
  QueueThread verifier(open_input(), resize_by(-kExtension));
  get(sender_.send(packet()));
  expect_received(packet());

  Bytes extended = packet();
  ASSERT_TRUE(resize_packet(extended, kExtension));
  const auto wire = expect_on_wire(1);
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(wire[0].bytes, extended);
  EXPECT_EQ(get(signer.stop()).refused + get(verifier.stop()).refused, 0U);
}

TEST_P(Nfqueue, DroppedDoesNotArrive) {
  queue_input();
  std::atomic<int> dropped = 0;
  QueueThread listener(open_input(), [&](const QueuedPacket&) {
    ++dropped;
    return Verdict::drop();
  });
  get(sender_.send(packet()));
  expect_on_wire(1);
  expect_silence();
  EXPECT_EQ(get(listener.stop()).handled, 1U);
  EXPECT_EQ(dropped, 1);
}

// Also what a listener that was never asked leaves behind: nothing.
TEST_P(Nfqueue, OverflowIsDroppedAndCounted) {
  constexpr std::uint32_t kLength = 8;
  constexpr std::uint32_t kBurst = 40;
  queue_input();
  {
    const NfQueue stuck = open_input({.length = kLength});
    for (std::uint32_t i = 1; i <= kBurst; ++i) get(sender_.send(packet(i)));
    expect_on_wire(kBurst);
    expect_silence();
    const QueueRow row = get(pair_.b.run([] { return queue_row(kIn); }));
    EXPECT_EQ(row.waiting, kLength);
    EXPECT_EQ(row.dropped, kBurst - kLength);
    EXPECT_EQ(row.user_dropped, 0U);
  }
  expect_silence();
  EXPECT_FALSE(pair_.b.run([] { return queue_row(kIn); }).ok()) << "the row stays";
}

TEST_P(Nfqueue, TruncatedIsDroppedAndCounted) {
  queue_input();
  QueueThread listener(open_input({.copy_range = 64}),
                       [](const QueuedPacket&) { return Verdict::accept(); });
  get(sender_.send(packet()));
  expect_on_wire(1);
  expect_silence();
  const auto counters = get(listener.stop());
  EXPECT_EQ(counters.truncated, 1U);
  EXPECT_EQ(counters.handled, 0U);
}

TEST_P(Nfqueue, MarkOfTheVerdictIsSeenBehindTheQueue) {
  rule(pair_.b, queue_esp("-A", "PREROUTING", kOut));
  queue_input();
  auto first = get(pair_.b.run([] { return NfQueue::open({.number = kOut}); }));
  std::atomic<std::uint32_t> seen_first = 1;
  std::atomic<std::uint32_t> seen_second = 0;
  QueueThread marks(std::move(first), [&](const QueuedPacket& p) {
    seen_first = p.mark;
    return Verdict{Verdict::Kind::accept, std::nullopt, 0x10000};
  });
  QueueThread reads(open_input(), [&](const QueuedPacket& p) {
    seen_second = p.mark;
    return Verdict::accept();
  });
  get(sender_.send(packet()));
  expect_received(packet());
  EXPECT_EQ(seen_first, 0U);
  EXPECT_EQ(seen_second, 0x10000U);
}

TEST_P(Nfqueue, HeldIsReleasedLater) {
  queue_input();
  NfQueue queue = open_input();
  std::uint32_t held = 0;
  get(sender_.send(packet()));
  const auto end = get(queue.poll(kPatience, [&](const QueuedPacket& p) {
    held = p.id;
    return Verdict::hold();
  }));
  EXPECT_EQ(end, NfQueue::End::handled);
  expect_silence();
  get(queue.decide(held, Verdict::accept()));
  expect_received(packet());
}

TEST_P(Nfqueue, AnUnknownPacketsVerdictIsRefusedAndCounted) {
  NfQueue queue = open_input();
  get(queue.decide(12345, Verdict::accept()));
  EXPECT_EQ(get(queue.poll(kPatience, [](const auto&) { return Verdict::drop(); })),
            NfQueue::End::handled);
  EXPECT_EQ(queue.counters().refused, 1U);
}

// IPv4 is whole again before the input hook by itself; IPv6 once something asks for connection
// tracking, as this rule does. The engine must see packets, not fragments.
TEST_P(Nfqueue, FragmentsAreReassembledBeforeInput) {
  if (family() == Family::v6) {
    rule(pair_.b, {"-A", "INPUT", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"});
  }
  queue_input();
  std::mutex mutex;
  std::vector<Bytes> queued;
  QueueThread listener(open_input(), [&](const QueuedPacket& p) {
    const std::lock_guard lock(mutex);
    queued.emplace_back(p.payload.begin(), p.payload.end());
    return Verdict::accept();
  });
  const Bytes whole = packet(1, 400);
  for (const Bytes& piece : fragment(whole, 200)) get(sender_.send(piece));
  expect_on_wire(2);
  expect_received(whole);
  EXPECT_EQ(get(listener.stop()).handled, 1U);
  EXPECT_EQ(queued, std::vector<Bytes>{whole});
}

TEST(NfqueueIpv6, WithoutConnectionTrackingFragmentsComeToInput) {
  const Pair pair = get(make_pair());
  get(change_mangle(pair.b, Family::v6, queue_esp("-A", "INPUT", kIn)));
  NfQueue queue = get(pair.b.run([] { return NfQueue::open({.number = kIn}); }));
  const PacketSender sender = get(pair.a.run([] { return PacketSender::open(); }));
  const Bytes whole = esp_packet({.source = kAddressesA[1], .target = kAddressesB[1], .body = 400});
  for (const Bytes& piece : fragment(whole, 200)) get(sender.send(piece));
  std::uint8_t protocol = 0;
  get(queue.poll(kPatience, [&](const QueuedPacket& p) {
    protocol = parse_ip(p.payload).value().protocol;
    return Verdict::drop();
  }));
  EXPECT_EQ(protocol, kProtocolFragment);
}

TEST(NfqueueListener, ANumberIsTakenOnlyOnce) {
  const Netns netns = get(Netns::create());
  const auto open = [] { return NfQueue::open({.number = kIn}); };
  const NfQueue first = get(netns.run(open));
  const auto second = netns.run(open);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message().find("NFQUEUE 20"), std::string::npos)
      << second.error().message();
}

TEST(NfqueueListener, PollEndsInTimeAndByStop) {
  const Netns netns = get(Netns::create());
  NfQueue queue = get(netns.run([] { return NfQueue::open({.number = kIn}); }));
  const auto none = [](const QueuedPacket&) { return Verdict::drop(); };
  EXPECT_EQ(get(queue.poll(std::chrono::milliseconds(20), none)), NfQueue::End::timed_out);
  std::thread other([&] { queue.stop(); });
  EXPECT_EQ(get(queue.poll(kPatience, none)), NfQueue::End::stopped);
  other.join();
  EXPECT_EQ(get(queue.poll(kPatience, none)), NfQueue::End::stopped);
}

INSTANTIATE_TEST_SUITE_P(Families, Nfqueue, testing::Values(Family::v4, Family::v6),
                         [](const auto& test) { return test.param == Family::v4 ? "v4" : "v6"; });

}  // namespace
}  // namespace cs::test
