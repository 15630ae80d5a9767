// SPDX-License-Identifier: GPL-3.0-or-later
// Signed packets inside UDP (docs/WIRE.md, section 11), through nfq-signer's own rules and this
// kernel's NFQUEUE, with synthetic ESP and AH:
//
//   a: sender -> [queue 100, signs and translates] -> left ---- right -> capture -> [queue 101,
//   translates back and verifies] -> receiver :b
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <random>

#include "nfq-signer/inbound_worker.h"
#include "nfq-signer/outbound_worker.h"
#include "nfq-signer/rules_apply.h"
#include "nfq-signer/worker_thread.h"
#include "tests/netns/environment.h"
#include "tests/unit/wire_packets.h"

namespace cs::test {
namespace {

constexpr std::uint16_t kTranslator = 4510;
constexpr std::uint8_t kProtocolAh = 51;
constexpr RuleOptions kRules{.udp_ports = {}, .translator_port = kTranslator};
constexpr std::uint32_t kPast = kRules.marks.signed_mark;  // the attacker's packets are not signed

using OutThread = std::unique_ptr<WorkerThread<OutboundWorker>>;
using InThread = std::unique_ptr<WorkerThread<InboundWorker>>;

class TranslatorPath : public testing::TestWithParam<Family> {
 protected:
  TranslatorPath()
      : pair_(get(make_pair())),
        sender_(get(pair_.a.run([] { return PacketSender::open(); }))),
        attacker_(get(pair_.a.run([] { return PacketSender::open(kPast); }))),
        esp_(get(pair_.b.run([] { return RawReceiver::open(GetParam()); }))),
        ah_(get(pair_.b.run([] { return RawReceiver::open(GetParam(), kProtocolAh); }))),
        capture_(get(pair_.b.run([] {
          return Capture::open("right", {kProtocolEsp, kProtocolAh, kProtocolUdp});
        }))) {
    for (const Netns* netns : {&pair_.a, &pair_.b})
      get(netns->run([] { return apply_rules(RuleKind::iptables, kRules); }));
  }

  static bool is_v4() { return GetParam() == Family::v4; }
  static std::size_t header() { return is_v4() ? 20 : 40; }

  // ESP or AH from a to b, of the tested family.
  Packet packet(Shape shape, std::size_t body) {
    Packet made = make_packet(shape, body, random_);
    const Packet addressed = esp_packet(
        {.source = kAddressesA.at(is_v4() ? 0 : 1), .target = kAddressesB.at(is_v4() ? 0 : 1)});
    const std::size_t addresses = is_v4() ? 12 : 8;
    std::copy(addressed.begin() + static_cast<std::ptrdiff_t>(addresses),
              addressed.begin() + static_cast<std::ptrdiff_t>(header()),
              made.begin() + static_cast<std::ptrdiff_t>(addresses));
    if (is_v4()) {
      put16(made, 4, 0x4321);  // the kernel would replace 0
      put16(made, 10, 0);
      put16(made, 10, static_cast<std::uint16_t>(~ones_sum(ByteView(made).first(20))));
    }
    return made;
  }
  Packet esp(std::size_t body = 80) { return packet(is_v4() ? Shape::esp4 : Shape::esp6, body); }
  Packet ah(std::size_t body = 80) { return packet(is_v4() ? Shape::ah4 : Shape::ah6, body); }

  Address address_of_b() {
    const Packet shown = esp();
    return destination_of(layout_of(shown), shown);
  }
  OutThread start_signer(std::vector<Address> translated_peers = {}, std::size_t max_batch = 64) {
    auto queue = get(pair_.a.run([] { return Queue::open({.number = kRules.first_queue}); }));
    OutboundWorker worker = get(OutboundWorker::create(
        std::move(queue), clock_,
        {.max_batch = max_batch,
         .mark = {kRules.marks.signed_mark, kRules.marks.outbound_mask},
         .translator = {.port = kTranslator, .peers = std::move(translated_peers)}}));
    worker.set_peer({1, Mode::enforce, {address_of_b()}});
    worker.set_key(1, ends_.outbound(), std::make_unique<LocalSigner>(ends_.signing()));
    return get(WorkerThread<OutboundWorker>::start(std::move(worker)));
  }
  InThread start_verifier(Mode mode = Mode::enforce) {
    auto queue =
        get(pair_.b.run([] { return Queue::open({.number = kRules.first_inbound_queue()}); }));
    InboundWorker worker =
        get(InboundWorker::create(std::move(queue), clock_,
                                  {.mark = {kRules.marks.inbound_mark, kRules.marks.inbound_mask},
                                   .translator_port = kTranslator}));
    get(worker.verifier().add_key(ends_.inbound()));
    const Packet shown = esp();
    worker.set_peer({1, mode, {source_of(layout_of(shown), shown)}});
    return get(WorkerThread<InboundWorker>::start(std::move(worker)));
  }

  void expect_received(const Packet& sent) const {
    const bool is_ah = sent[is_v4() ? 9 : 6] == kProtocolAh;
    const auto got = get((is_ah ? ah_ : esp_).receive(kPatience));
    ASSERT_TRUE(got) << "nothing arrived";
    EXPECT_EQ(*got, RawReceiver::form_of(sent));
  }
  void expect_silence() const {
    EXPECT_FALSE(get(esp_.receive(kSilence))) << "ESP arrived";
    EXPECT_FALSE(get(ah_.receive(std::chrono::milliseconds(1)))) << "AH arrived";
  }
  Packet seen_on_the_way() {
    const auto seen = get(capture_.receive(kPatience));
    EXPECT_TRUE(seen) << "nothing on the wire";
    return seen ? seen->bytes : Packet{};
  }
  Packet signed_on_the_way(const Packet& plain) {
    const OutThread signer = start_signer();
    get(sender_.send(plain));
    return seen_on_the_way();
  }
  static void await(const Counter& counter, std::uint64_t value) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (counter.value() < value && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    EXPECT_EQ(counter.value(), value);
  }

  SystemClock clock_;
  Ends ends_;
  Pair pair_;
  PacketSender sender_, attacker_;
  RawReceiver esp_, ah_;
  Capture capture_;
  std::mt19937 random_{6};
};

TEST_P(TranslatorPath, UdpOnTheWireAndAsItWasBehindIt) {
  const OutThread signer = start_signer();
  const InThread verifier = start_verifier();
  for (const std::size_t body : {16U, 81U, 1000U}) {
    for (const Packet& sent : {esp(body), ah(body)}) {
      get(sender_.send(sent));
      expect_received(sent);
      Packet seen = seen_on_the_way();
      EXPECT_EQ(seen[is_v4() ? 9 : 6], kProtocolUdp);
      ByteSpan inside = seen;
      ASSERT_EQ(translate_back(kTranslator, inside), Reason::none);
      Extension extension;
      EXPECT_EQ(parse_extension(layout_of(inside), inside, extension), Reason::none);
    }
  }
  await(signer->counters().signed_out, 6);
  await(verifier->counters().verified, 6);
}

TEST_P(TranslatorPath, OnlyForThePeersNamed) {
  for (const bool is_named : {true, false}) {
    const InThread verifier = start_verifier();
    Address named = address_of_b();
    if (!is_named) named.back() ^= 1;
    const OutThread signer = start_signer({named});
    const Packet sent = esp();
    get(sender_.send(sent));
    expect_received(sent);
    EXPECT_EQ(seen_on_the_way()[is_v4() ? 9 : 6], is_named ? kProtocolUdp : kProtocolEsp);
  }
}

TEST_P(TranslatorPath, WhatDoesNotVerifyIsDropped) {
  const Packet plain = esp(40);
  const Packet wire = signed_on_the_way(plain);
  const InThread verifier = start_verifier();
  const auto dropped = [&](Reason reason) -> const Counter& {
    return verifier->counters().dropped.at(static_cast<std::size_t>(reason));
  };
  Packet spoiled = wire;
  spoiled[header() + translation_size + 10] ^= 1;
  get(attacker_.send(spoiled));
  await(dropped(Reason::bad_tag), 1);
  get(attacker_.send(translated(plain, kTranslator)));
  await(dropped(Reason::no_extension), 1);
  Packet other = wire;
  other[header() + 8] = 2;
  get(attacker_.send(other));
  await(dropped(Reason::untranslatable), 1);
  Packet lying = wire;
  put16(lying, header() + 4, wire.size() - header() - 1);
  get(attacker_.send(lying));
  await(dropped(Reason::malformed), 1);
  expect_silence();
  get(attacker_.send(wire));
  expect_received(plain);
  await(verifier->counters().signatures_checked, 1);
}

TEST_P(TranslatorPath, ModesAreAboutWhatWasTranslated) {
  const Packet plain = esp(40);
  const Packet wire = signed_on_the_way(plain);
  Packet inside = wire;
  ByteSpan rest = inside;
  ASSERT_EQ(translate_back(kTranslator, rest), Reason::none);
  inside = Packet(rest.begin(), rest.end());
  Packet other = wire;
  other[header() + 9] = 17;
  for (const Mode mode : {Mode::audit, Mode::sign_only, Mode::off}) {
    const InThread verifier = start_verifier(mode);
    get(attacker_.send(wire));
    expect_received(mode == Mode::off ? inside : plain);
    get(attacker_.send(translated(plain, kTranslator)));
    expect_received(plain);
    get(attacker_.send(other));  // nobody can tell what it is
    await(verifier->counters().dropped.at(static_cast<std::size_t>(Reason::untranslatable)), 1);
  }
  expect_silence();
}

TEST_P(TranslatorPath, WithoutTheEngineNothingPasses) {
  const Packet wire = signed_on_the_way(esp());
  get(attacker_.send(wire));
  expect_silence();
}

TEST_P(TranslatorPath, TheLargestPacketPassesAndAByteMoreDoesNot) {
  get(pair_.a.must({"ip", "link", "set", "left", "mtu", "65535"}));
  get(pair_.b.must({"ip", "link", "set", "right", "mtu", "65535"}));
  const OutThread signer = start_signer({}, 1);
  const InThread verifier = start_verifier();
  const std::size_t original = is_v4() ? sizeof(Original) : 0;  // in case DF is cleared
  const std::size_t body = max_queue_payload - translation_size - fixed_extension - original -
                           header() - 8;  // SPI, number
  const Packet largest = esp(body);
  get(sender_.send(largest));
  expect_received(largest);
  get(sender_.send(esp(body + 1)));
  await(signer->counters().dropped.at(static_cast<std::size_t>(Reason::too_big)), 1);
}

INSTANTIATE_TEST_SUITE_P(BothFamilies, TranslatorPath, testing::Values(Family::v4, Family::v6),
                         [](const auto& param) {
                           return param.param == Family::v4 ? "IPv4" : "IPv6";
                         });

}  // namespace
}  // namespace cs::test
