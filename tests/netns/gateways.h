// SPDX-License-Identifier: GPL-3.0-or-later
// Two namespaces, of either family, with packets from a to b: who sends them, who receives them,
// and who sees them in between. What signs and verifies them is the fixtures' that derive from it.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <random>

#include "nfq-signer/inbound_worker.h"
#include "nfq-signer/outbound_worker.h"
#include "nfq-signer/worker_thread.h"
#include "tests/netns/environment.h"
#include "tests/unit/wire_packets.h"

namespace cs::test {

constexpr std::uint8_t kProtocolAh = 51;

using OutThread = std::unique_ptr<WorkerThread<OutboundWorker>>;
using InThread = std::unique_ptr<WorkerThread<InboundWorker>>;

class Gateways : public testing::TestWithParam<Family> {
 protected:
  // `past`: the mark of the attacker's packets, which are not signed. `seen`: the protocols that
  // are captured in front of b.
  Gateways(std::uint32_t past, const std::vector<std::uint8_t>& seen)
      : pair_(get(make_pair())),
        sender_(get(pair_.a.run([] { return PacketSender::open(); }))),
        attacker_(get(pair_.a.run([=] { return PacketSender::open(past); }))),
        esp_(get(pair_.b.run([] { return RawReceiver::open(GetParam()); }))),
        ah_(get(pair_.b.run([] { return RawReceiver::open(GetParam(), kProtocolAh); }))),
        capture_(get(pair_.b.run([&] { return Capture::open("right", seen); }))) {}

  static bool is_v4() { return GetParam() == Family::v4; }

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

  static Address address(const std::array<const char*, 2>& of) {
    const Packet shown =
        esp_packet({.source = of.at(is_v4() ? 0 : 1), .target = of.at(is_v4() ? 0 : 1)});
    return source_of(layout_of(shown), shown);
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

}  // namespace cs::test
