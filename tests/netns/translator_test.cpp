// SPDX-License-Identifier: GPL-3.0-or-later
// Signed packets inside UDP (docs/WIRE.md, section 11), through nfq-signer's own rules and this
// kernel's NFQUEUE, with synthetic ESP and AH:
//
//   a: sender -> [queue 100, signs and translates] -> left ---- right -> capture -> [queue 101,
//   translates back and verifies] -> receiver :b
#include "nfq-signer/rules_apply.h"
#include "tests/netns/gateways.h"

namespace cs::test {
namespace {

constexpr std::uint16_t kTranslator = 4510;
constexpr RuleOptions kRules{.udp_ports = {}, .translator_port = kTranslator};
constexpr std::uint32_t kPast = kRules.marks.signed_mark;  // the attacker's packets are not signed

class TranslatorPath : public Gateways {
 protected:
  TranslatorPath() : Gateways(kPast, {kProtocolEsp, kProtocolAh, kProtocolUdp}) {
    for (const Netns* netns : {&pair_.a, &pair_.b})
      get(netns->run([] { return apply_rules(RuleKind::iptables, kRules); }));
  }

  static std::size_t header() { return is_v4() ? 20 : 40; }

  OutThread start_signer(std::vector<Address> translated_peers = {}, std::size_t max_batch = 64) {
    auto queue = get(pair_.a.run([] { return Queue::open({.number = kRules.first_queue}); }));
    OutboundWorker worker = get(OutboundWorker::create(
        std::move(queue), clock_,
        {.max_batch = max_batch,
         .mark = {kRules.marks.signed_mark, kRules.marks.outbound_mask},
         .translator = {.port = kTranslator, .peers = std::move(translated_peers)}}));
    worker.set_peer({1, Mode::enforce, {address(kAddressesB)}});
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
    worker.set_peer({1, mode, {address(kAddressesA)}});
    return get(WorkerThread<InboundWorker>::start(std::move(worker)));
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
    Address named = address(kAddressesB);
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
