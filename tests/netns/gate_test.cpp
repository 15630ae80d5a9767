// SPDX-License-Identifier: GPL-3.0-or-later
// The gate with real packets, of both kinds and both families:  a [left] ------- [right] b
// The gateway is b for what comes in and a for what goes out.
#include "xfrm/gate/gate.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <set>
#include <thread>

#include "tests/netns/environment.h"
#include "tests/netns/rules_packets.h"
#include "tests/support/manual_clock.h"
#include "tests/support/unwrap.h"
#include "xfrm/gate/holder.h"

namespace cs::test {
namespace {

using net::Address;
using xfrm::Gate;
using xfrm::GateConfig;
using xfrm::GateKind;
using xfrm::GateReason;
using xfrm::GateView;
using xfrm::GateWay;
using xfrm::Opening;
using xfrm::Passage;

constexpr std::uint32_t kEspSpi = 0x12345678;  // of IpsecPackets
constexpr std::uint32_t kAhSpi = 0x100;
constexpr std::uint16_t kQueue = 7;

Address address(const std::string& text) {
  return get(Address::parse(text));
}

class GateIn : public testing::TestWithParam<std::tuple<GateKind, Family>> {
 protected:
  GateIn()
      : pair_(get(make_pair())),
        packets_(family(), kAddressesA.at(index()), kAddressesB.at(index())),
        sender_(get(pair_.a.run([] { return PacketSender::open(); }))) {}

  static GateKind kind() { return std::get<0>(GetParam()); }
  static Family family() { return std::get<1>(GetParam()); }
  static std::size_t index() { return family() == Family::v4 ? 0 : 1; }
  [[nodiscard]] const Netns& gateway(GateWay way) const {
    return way == GateWay::in ? pair_.b : pair_.a;
  }
  static Address peer_of(GateWay way) {
    return address(way == GateWay::in ? kAddressesA.at(index()) : kAddressesB.at(index()));
  }
  static GateConfig config(GateWay way, bool ike = false) {
    return {.peers = {{.name = "peer-b", .addresses = {peer_of(way)}, .ike = ike}}};
  }
  static Passage passage(GateWay way, std::uint8_t protocol, std::uint32_t spi) {
    return {way, address(kAddressesB.at(index())), protocol, spi};
  }
  Gate set_up(GateWay way, const GateConfig& wanted) const {
    return get(gateway(way).run([&] { return Gate::set_up(wanted, kind()); }));
  }
  // What a gate does, it does in the namespace of the thread that asks.
  template <class F>
  auto in(GateWay way, F&& f) const {
    return get(gateway(way).run(std::forward<F>(f)));
  }
  [[nodiscard]] GateView look(GateWay way, const Gate& gate) const {
    return in(way, [&] { return gate.look(); });
  }

  // The names of those that arrive behind the gate.
  std::vector<std::string> arrivals(GateWay way, std::vector<IpsecPackets::Named> sent) const {
    sent.push_back({"last", packets_.last()});
    if (way == GateWay::out) return captured(sent);
    std::vector<std::pair<std::uint8_t, RawReceiver>> receivers;
    for (const std::uint8_t protocol : kAllProtocols) {
      receivers.emplace_back(
          protocol, get(pair_.b.run([&] { return RawReceiver::open(family(), protocol); })));
    }
    std::vector<std::string> names;
    for (const auto& [name, packet] : sent) get(sender_.send(packet));
    if (!get(receivers.back().second.receive(kPatience))) return {"the last one is missing"};
    for (const auto& [protocol, receiver] : receivers) {
      while (const auto got = get(receiver.receive(std::chrono::milliseconds(0)))) {
        names.push_back(name_of(sent, [&](const Bytes& p) { return ends_alike(p, *got); }));
      }
    }
    return names;
  }

  Pair pair_;
  IpsecPackets packets_;
  PacketSender sender_;

 private:
  template <class F>
  static std::string name_of(const std::vector<IpsecPackets::Named>& sent, F&& is_it) {
    for (const auto& [name, packet] : sent) {
      if (is_it(packet)) return name;
    }
    return "a packet nobody sent";
  }
  static bool ends_alike(const Bytes& packet, const Bytes& got) {
    return got.size() <= packet.size() && std::equal(got.rbegin(), got.rend(), packet.rbegin());
  }
  [[nodiscard]] std::vector<std::string> captured(
      const std::vector<IpsecPackets::Named>& sent) const {
    const Capture capture = get(pair_.b.run([] { return Capture::open("right", kAllProtocols); }));
    for (const auto& [name, packet] : sent) (void)sender_.send(packet);
    std::vector<std::string> names;
    for (;;) {
      const auto got = get(capture.receive(kPatience));
      if (!got) return {"the last one is missing"};
      const std::string name = name_of(sent, [&](const Bytes& p) { return got->bytes == p; });
      if (name == "last") return names;
      names.push_back(name);
    }
  }
};

// Both ways are tried alike.
constexpr Side side_of(GateWay way) {
  return way == GateWay::in ? Side::target : Side::source;
}

const std::vector<std::string> kNothing;

std::set<std::string> as_set(const std::vector<std::string>& names) {
  return {names.begin(), names.end()};
}

TEST_P(GateIn, ClosedNothingOfIpsecPassesAndAllElseDoes) {
  for (const GateWay way : xfrm::gate_ways) {
    const Gate gate = set_up(way, config(way));
    const auto ipsec = packets_.signed_ones(side_of(way));
    EXPECT_EQ(arrivals(way, ipsec), kNothing);
    const auto foreign = packets_.foreign_ones(side_of(way));
    EXPECT_EQ(arrivals(way, foreign).size(), foreign.size());
    const auto peer = look(way, gate).peers.at(0);
    EXPECT_EQ(peer.opening, Opening::closed);
    EXPECT_EQ(peer.addresses, std::vector{peer_of(way)});
    EXPECT_EQ(peer.count(way, GateReason::closed).packets, ipsec.size());
    in(way, Gate::remove);
  }
}

TEST_P(GateIn, OpenedToAnyAllPasses) {
  for (const GateWay way : xfrm::gate_ways) {
    Gate gate = set_up(way, config(way));
    in(way, [&] { return gate.open("peer-b", Opening::any); });
    const auto ipsec = packets_.signed_ones(side_of(way));
    EXPECT_EQ(arrivals(way, ipsec).size(), ipsec.size());
    EXPECT_EQ(look(way, gate).peers.at(0).count(way, GateReason::passed).packets, ipsec.size());
    in(way, [&] { return gate.close("peer-b"); });
    EXPECT_EQ(arrivals(way, ipsec), kNothing);
    in(way, Gate::remove);
  }
}

TEST_P(GateIn, OpenedByListOnlyAdmittedSasPass) {
  for (const GateWay way : xfrm::gate_ways) {
    Gate gate = set_up(way, config(way));
    in(way, [&] { return gate.open("peer-b", Opening::listed); });
    const auto ipsec = packets_.signed_ones(side_of(way));
    EXPECT_EQ(arrivals(way, ipsec), kNothing);
    EXPECT_EQ(look(way, gate).peers.at(0).count(way, GateReason::unknown).packets, ipsec.size());

    const Passage esp = passage(way, IPPROTO_ESP, kEspSpi);
    for (int twice = 0; twice < 2; ++twice) in(way, [&] { return gate.admit("peer-b", esp); });
    // The number alone is not the SA.
    in(way, [&] { return gate.admit("peer-b", passage(way, IPPROTO_ESP, kAhSpi)); });
    std::vector<std::string> got = arrivals(way, ipsec);
    std::erase(got, "ESP behind options");
    // Behind options of IPv6 iptables does not find the word that UDP holds, and drops it.
    std::erase(got, "ESP in UDP behind options");
    EXPECT_EQ(as_set(got), (std::set<std::string>{"ESP", "ESP in UDP"}));

    const Passage ah = passage(way, IPPROTO_AH, kAhSpi);
    in(way, [&] { return gate.admit("peer-b", ah); });
    for (int twice = 0; twice < 2; ++twice) in(way, [&] { return gate.withdraw("peer-b", esp); });
    got = arrivals(way, ipsec);
    EXPECT_EQ(as_set(got), (std::set<std::string>{"AH", "AH behind options"}));
    const auto passages = look(way, gate).peers.at(0).passages;
    EXPECT_EQ(passages.size(), 2U);
    EXPECT_NE(std::ranges::find(passages, ah), passages.end());

    in(way, [&] { return gate.close("peer-b"); });
    in(way, [&] { return gate.open("peer-b", Opening::listed); });
    EXPECT_EQ(arrivals(way, ipsec), kNothing) << "closing forgets";
    in(way, Gate::remove);
  }
}

TEST_P(GateIn, AnSaIsNotThatOfAnotherDestination) {
  Gate gate = set_up(GateWay::in, config(GateWay::in));
  in(GateWay::in, [&] { return gate.open("peer-b", Opening::listed); });
  Passage other = passage(GateWay::in, IPPROTO_ESP, kEspSpi);
  other.destination = peer_of(GateWay::in);
  in(GateWay::in, [&] { return gate.admit("peer-b", other); });
  EXPECT_EQ(arrivals(GateWay::in, {{"ESP", packets_.esp()}}), kNothing);
}

TEST_P(GateIn, IkeIsClosedWhereAskedForAndPassesWhenOpen) {
  for (const GateWay way : xfrm::gate_ways) {
    Gate gate = set_up(way, config(way, true));
    const auto foreign = packets_.foreign_ones(side_of(way));
    const auto expected = [&](const std::vector<std::string>& got) {
      EXPECT_EQ(as_set(got),
                (std::set<std::string>{"another port", "only the peer's port", "TCP"}));
    };
    expected(arrivals(way, foreign));
    EXPECT_EQ(look(way, gate).peers.at(0).count(way, GateReason::ike).packets, 5U);
    in(way, [&] { return gate.open("peer-b", Opening::listed); });
    EXPECT_EQ(arrivals(way, foreign).size(), foreign.size());
    in(way, [&] { return gate.close("peer-b"); });
    expected(arrivals(way, foreign));
    in(way, Gate::remove);
  }
}

TEST_P(GateIn, OfOthersNothingIsHeldUpUnlessAskedFor) {
  for (const GateWay way : xfrm::gate_ways) {
    GateConfig other = config(way);
    other.peers[0].addresses = {address(family() == Family::v4 ? "192.0.2.77" : "2001:db8::77")};
    Gate gate = set_up(way, other);
    const auto ipsec = packets_.signed_ones(side_of(way));
    EXPECT_EQ(arrivals(way, ipsec).size(), ipsec.size());

    other.only_peers = true;
    gate = set_up(way, other);
    EXPECT_EQ(arrivals(way, ipsec), kNothing);
    const auto foreign = packets_.foreign_ones(side_of(way));
    EXPECT_EQ(arrivals(way, foreign).size(), foreign.size());
    const GateView view = look(way, gate);
    EXPECT_EQ(view.strangers.at(static_cast<std::size_t>(way)).packets, ipsec.size());
    EXPECT_TRUE(view.complete);
    in(way, Gate::remove);
  }
}

TEST_P(GateIn, FragmentsAreJudgedWhole) {
  Gate gate = set_up(GateWay::in, config(GateWay::in));
  const Bytes whole = esp_packet({.source = kAddressesA.at(index()),
                                  .target = kAddressesB.at(index()),
                                  .spi = kEspSpi,
                                  .body = 400});
  const RawReceiver receiver = get(pair_.b.run([] { return RawReceiver::open(family()); }));
  const auto send = [&] {
    for (const Bytes& piece : fragment(whole, 200)) get(sender_.send(piece));
  };
  send();
  EXPECT_FALSE(get(receiver.receive(kSilence)));
  in(GateWay::in, [&] { return gate.open("peer-b", Opening::listed); });
  in(GateWay::in, [&] { return gate.admit("peer-b", passage(GateWay::in, IPPROTO_ESP, kEspSpi)); });
  send();
  EXPECT_TRUE(get(receiver.receive(kPatience)));
}

// docs/WIRE.md, section 11.
TEST_P(GateIn, TranslatedIpsecIsHeldUpAlike) {
  constexpr std::uint16_t port = 4600;
  GateConfig wanted = config(GateWay::in);
  wanted.translator_port = port;
  Gate gate = set_up(GateWay::in, wanted);
  const auto translated = [&](std::uint8_t protocol, std::uint32_t spi) {
    Bytes packet = packets_.udp_esp(port, port);
    const std::size_t at = (family() == Family::v4 ? 20 : 40) + 8;
    get(resize_packet(packet, 8) ? Result<void>() : Error(ErrorKind::internal, "resizing"));
    packet[at] = 1;
    packet[at + 1] = protocol;
    const std::size_t place = at + (protocol == IPPROTO_ESP ? 4 : 8);
    std::fill_n(packet.begin() + static_cast<std::ptrdiff_t>(at + 2), 14, std::uint8_t{0});
    for (std::size_t i = 0; i < 4; ++i)
      packet[place + i] = static_cast<std::uint8_t>(spi >> (24 - 8 * i));
    return packet;
  };
  const std::vector<IpsecPackets::Named> sent{{"ESP", translated(IPPROTO_ESP, 5)},
                                              {"AH", translated(IPPROTO_AH, 5)}};
  EXPECT_EQ(arrivals(GateWay::in, sent), kNothing);
  in(GateWay::in, [&] { return gate.open("peer-b", Opening::listed); });
  EXPECT_EQ(arrivals(GateWay::in, sent), kNothing);
  in(GateWay::in, [&] { return gate.admit("peer-b", passage(GateWay::in, IPPROTO_ESP, 5)); });
  EXPECT_EQ(arrivals(GateWay::in, sent), std::vector<std::string>{"ESP"});
  in(GateWay::in, [&] { return gate.withdraw("peer-b", passage(GateWay::in, IPPROTO_ESP, 5)); });
  in(GateWay::in, [&] { return gate.admit("peer-b", passage(GateWay::in, IPPROTO_AH, 5)); });
  EXPECT_EQ(arrivals(GateWay::in, sent), std::vector<std::string>{"AH"});
  in(GateWay::in, [&] { return gate.open("peer-b", Opening::any); });
  EXPECT_EQ(arrivals(GateWay::in, sent).size(), 2U);
}

// By nftables only where its kernel has `queue`: in the lab.
class GateHeld : public GateIn {};

TEST_P(GateHeld, AnUnknownSaWaitsWhereSomebodyListensAndIsDroppedElse) {
  GateConfig wanted = config(GateWay::in);
  wanted.held_queue = kQueue;
  Gate gate = set_up(GateWay::in, wanted);
  in(GateWay::in, [&] { return gate.open("peer-b", Opening::listed); });
  const std::vector<IpsecPackets::Named> sent{{"ESP", packets_.esp()}};
  EXPECT_EQ(arrivals(GateWay::in, sent), kNothing);
  const QueueThread holder(
      get(gateway(GateWay::in).run([] { return NfQueue::open({.number = kQueue}); })),
      [](const QueuedPacket&) { return Verdict::accept(); });
  const RawReceiver receiver = get(pair_.b.run([] { return RawReceiver::open(family()); }));
  get(sender_.send(packets_.esp()));
  EXPECT_TRUE(get(receiver.receive(kPatience)));
  EXPECT_EQ(look(GateWay::in, gate).peers.at(0).count(GateWay::in, GateReason::held).packets, 2U);
  in(GateWay::in, [&] { return gate.close("peer-b"); });
  EXPECT_EQ(arrivals(GateWay::in, sent), kNothing) << "nothing of a closed peer is held";
}

// A loop that a program with a gate has: what waits goes on when its SA is admitted, and no other.
TEST_P(GateHeld, WhatIsAdmittedInTimeGoesOnAndTheRestIsDropped) {
  GateConfig wanted = config(GateWay::in);
  wanted.held_queue = kQueue;
  Gate gate = set_up(GateWay::in, wanted);
  in(GateWay::in, [&] { return gate.open("peer-b", Opening::listed); });
  ManualClock clock;
  xfrm::Holder holder = get(gateway(GateWay::in).run([&] {
    return xfrm::Holder::open({.queue = kQueue, .most = 3, .longest = std::chrono::seconds(2)},
                              clock);
  }));
  const RawReceiver esp = get(pair_.b.run([] { return RawReceiver::open(family()); }));
  const RawReceiver ah = get(pair_.b.run([] { return RawReceiver::open(family(), IPPROTO_AH); }));
  const auto arrived = [](const RawReceiver& receiver) {
    return get(receiver.receive(std::chrono::milliseconds(100))).has_value();
  };
  // Until the kernel has handed over as many.
  const auto hold = [&](std::uint64_t count) {
    for (int turn = 0; holder.counters().held < count && turn < 1000; ++turn) {
      get(holder.run());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ASSERT_EQ(holder.counters().held, count);
  };

  const auto all = packets_.signed_ones(Side::target);
  const auto found = std::ranges::find(all, "AH", &IpsecPackets::Named::name);
  ASSERT_NE(found, all.end());
  const Bytes other = found->packet;
  get(sender_.send(packets_.esp()));
  get(sender_.send(other));
  hold(2);
  EXPECT_FALSE(arrived(esp));
  EXPECT_EQ(holder.waiting().size(), 2U);
  const Passage admitted = passage(GateWay::in, IPPROTO_ESP, kEspSpi);
  in(GateWay::in, [&] { return gate.admit("peer-b", admitted); });
  get(holder.admitted(admitted));
  EXPECT_TRUE(arrived(esp));
  EXPECT_FALSE(arrived(ah)) << "another SA than the admitted one";

  clock.advance(std::chrono::milliseconds(1999));
  get(holder.run());
  EXPECT_EQ(holder.counters().expired, 0U);
  EXPECT_EQ(holder.deadline() - clock.boot(), std::chrono::milliseconds(1));
  clock.advance(std::chrono::milliseconds(1));
  get(holder.run());
  EXPECT_EQ(holder.counters().expired, 1U);
  EXPECT_TRUE(holder.waiting().empty());
  get(holder.admitted(passage(GateWay::in, IPPROTO_AH, kAhSpi)));
  EXPECT_FALSE(arrived(ah)) << "dropped in time, and admitted too late";

  for (int i = 0; i < 5; ++i) get(sender_.send(other));
  hold(7);
  EXPECT_EQ(holder.counters().pushed_out, 2U);
  get(sender_.send(packets_.esp()));
  EXPECT_TRUE(arrived(esp)) << "admitted: it never comes here";
  EXPECT_EQ(holder.counters().held, 7U);
}

std::string name_of_test(const testing::TestParamInfo<std::tuple<GateKind, Family>>& test) {
  return std::string(xfrm::to_string(std::get<0>(test.param))) +
         (std::get<1>(test.param) == Family::v4 ? "_v4" : "_v6");
}

INSTANTIATE_TEST_SUITE_P(Kinds, GateIn,
                         testing::Combine(testing::Values(GateKind::nft, GateKind::iptables),
                                          testing::Values(Family::v4, Family::v6)),
                         name_of_test);
INSTANTIATE_TEST_SUITE_P(Kinds, GateHeld,
                         testing::Combine(testing::Values(GateKind::iptables),
                                          testing::Values(Family::v4, Family::v6)),
                         name_of_test);

}  // namespace
}  // namespace cs::test
