// SPDX-License-Identifier: GPL-3.0-or-later
// Two gateways with the engine between them, on real NFQUEUE.
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

}  // namespace cs::test
