// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nfq-signer/tunnel.h"
#include "xfrm/route/clamp.h"

namespace cs::mtu {
namespace {

Encapsulation gcm(bool outer_ipv6 = false, bool udp = false) {
  return {.outer_ipv6 = outer_ipv6, .udp = udp, .measured = {}};
}

Encapsulation cbc() {
  return {.iv = 16, .icv = 16, .block = 16, .measured = {}};
}

Encapsulation ah(bool ipv6, Mode mode) {
  return {.outer_ipv6 = ipv6, .mode = mode, .protocol = Protocol::ah, .icv = 16, .measured = {}};
}

// 1336 was measured; the others follow from the same arithmetic and the RFCs.
TEST(OuterSize, OfEveryEncapsulation) {
  EXPECT_EQ(outer_size(gcm(), 1280, 0), 1336U);
  EXPECT_EQ(outer_size(gcm(false, true), 1280, 0), 1344U);
  EXPECT_EQ(outer_size(gcm(true), 1280, 0), 1356U);
  EXPECT_EQ(outer_size(gcm(), 1280, 176), 1512U);
  EXPECT_EQ(outer_size(cbc(), 1280, 0), 20U + 8 + 16 + 1296 + 16);
  EXPECT_EQ(outer_size(cbc(), 1294, 0), 20U + 8 + 16 + 1296 + 16);
  EXPECT_EQ(outer_size(cbc(), 1295, 0), 20U + 8 + 16 + 1312 + 16);
  Encapsulation transport = gcm();
  transport.mode = Mode::transport;
  EXPECT_EQ(outer_size(transport, 100, 0), 20U + 8 + 8 + 84 + 16);
}

// Linux pads AH with a 16-byte ICV to 32 bytes on IPv4, to 28 only with align4; IPv6 always to 8.
TEST(OuterSize, OfAh) {
  EXPECT_EQ(outer_size(ah(false, Mode::transport), 100, 0), 100U + 32);
  EXPECT_EQ(outer_size(ah(false, Mode::tunnel), 100, 0), 100U + 20 + 32);
  EXPECT_EQ(outer_size(ah(true, Mode::tunnel), 100, 0), 100U + 40 + 32);
  Encapsulation aligned = ah(false, Mode::transport);
  aligned.ah_align4 = true;
  EXPECT_EQ(outer_size(aligned, 100, 0), 100U + 28);
  aligned.outer_ipv6 = true;
  EXPECT_EQ(outer_size(aligned, 100, 0), 100U + 32);
}

TEST(OuterSize, OfTheTranslatorsUdp) {
  for (Encapsulation sa : {gcm(), gcm(true), ah(true, Mode::transport)}) {
    const std::size_t plain = outer_size(sa, 1000, 208);
    const std::size_t inner = inner_mtu(sa, 1500, 208);
    sa.translated = true;
    EXPECT_EQ(outer_size(sa, 1000, 208), plain + 12);
    EXPECT_EQ(inner_mtu(sa, 1500 + 12, 208), inner);
    sa.measured = 60;
    EXPECT_EQ(outer_size(sa, 1000, 208), 1000U + 60 + 208 + 12);
  }
  Encapsulation nat = gcm(false, true);
  nat.translated = true;  // but it is in UDP already
  EXPECT_EQ(outer_size(nat, 1280, 0), 1344U);
}

// The extension itself is padded to 8 bytes in AH on IPv6, nowhere else.
TEST(OuterSize, PadsTheExtensionInAhOnIpv6) {
  const Encapsulation v6 = ah(true, Mode::transport);
  EXPECT_EQ(outer_size(v6, 100, 116) - outer_size(v6, 100, 0), 120U);
  const Encapsulation v4 = ah(false, Mode::transport);
  EXPECT_EQ(outer_size(v4, 100, 116) - outer_size(v4, 100, 0), 116U);
  EXPECT_EQ(outer_size(gcm(true), 100, 116) - outer_size(gcm(true), 100, 0), 116U);
}

TEST(Room, ForTheExtensionBehind1280BytesOfIpv6) {
  EXPECT_EQ(room(gcm(), 1500, 1280), 164);
  EXPECT_EQ(room(gcm(false, true), 1500, 1280), 156);
  EXPECT_EQ(room(gcm(true), 1500, 1280), 144);
  EXPECT_EQ(room(gcm(), 1300, 1280), -36);
}

// What inner_mtu() promises, for every path and every way: it fits, and a byte more would not.
TEST(InnerMtu, IsTheLargestThatFits) {
  std::vector<Encapsulation> all{gcm(), gcm(true), gcm(false, true), cbc()};
  for (const bool ipv6 : {false, true}) {
    for (const Mode mode : {Mode::tunnel, Mode::transport}) all.push_back(ah(ipv6, mode));
  }
  all.push_back({.measured = 73});
  for (auto sa : std::vector<Encapsulation>(all)) {
    sa.mode = Mode::transport;
    all.push_back(sa);
  }
  for (const Encapsulation& sa : all) {
    for (std::size_t path = 576; path <= 1600; ++path) {
      const std::size_t inner = inner_mtu(sa, path, 208);
      ASSERT_GT(inner, 0U) << path;
      ASSERT_LE(outer_size(sa, inner, 208), path);
      ASSERT_GT(outer_size(sa, inner + 1, 208), path);
    }
  }
}

TEST(InnerMtu, KnownOnesAndNone) {
  EXPECT_EQ(inner_mtu(gcm(), 1500, 0), 1446U);  // what the kernel itself says
  EXPECT_EQ(inner_mtu(gcm(), 1500, 176), 1270U);
  EXPECT_EQ(inner_mtu(gcm(), 100, 112), 0U);
  EXPECT_EQ(inner_mtu({.measured = 60}, 1500, 112), 1328U);
}

TEST(LargestBatch, TakesTheDeepestTreeThatFits) {
  const auto most = [](std::ptrdiff_t room, std::uint32_t wanted) {
    return largest_batch(gcm(), Suite::p256_node16, room, wanted);
  };
  EXPECT_EQ(most(164, 64), 8U);  // 112 + 3 × 16 = 160
  EXPECT_EQ(most(156, 64), 4U);
  EXPECT_EQ(most(144, 64), 4U);
  EXPECT_EQ(most(143, 64), 2U);
  EXPECT_EQ(most(127, 64), 1U);
  EXPECT_EQ(most(112, 64), 1U);
  EXPECT_EQ(most(111, 64), 0U);
  EXPECT_EQ(most(-5, 64), 0U);
  EXPECT_EQ(most(208, 64), 64U);
  EXPECT_EQ(most(207, 64), 32U);
  EXPECT_EQ(most(192, 33), 32U);
  EXPECT_EQ(most(160, 7), 7U);
  EXPECT_EQ(most(1000, max_batch), max_batch);
  EXPECT_EQ(most(1000, 0), 0U);
  EXPECT_EQ(largest_batch(gcm(), Suite::p256_node32, 164, 64), 2U);
  EXPECT_EQ(largest_batch(ah(true, Mode::tunnel), Suite::p256_node16, 144, 64), 4U);
}

TEST(Plan, CapsTheBatchSoThatIpv6StillFits) {
  const auto planned = plan({.sa = gcm(), .path = 1500, .batch = 64, .policy = Policy::cap});
  ASSERT_TRUE(planned.ok());
  EXPECT_EQ(planned->batch, 8U);
  EXPECT_EQ(planned->extension, 160U);
  EXPECT_EQ(planned->inner_mtu, 1286U);
  EXPECT_EQ(planned->inner_mtu_ipv6, 1286U);
  EXPECT_FALSE(planned->fragments);
}

TEST(Plan, WithoutInnerIpv6TheMtuGivesWayFirst) {
  const auto planned = plan({.sa = gcm(), .path = 1500, .batch = 64, .inner_ipv6 = false});
  ASSERT_TRUE(planned.ok());
  EXPECT_EQ(planned->batch, 64U);
  EXPECT_EQ(planned->extension, 208U);
  EXPECT_EQ(planned->inner_mtu, 1238U);
  EXPECT_FALSE(planned->fragments);
}

TEST(Plan, FragmentsRatherThanGoBelowTheLeast) {
  Question question{.sa = gcm(), .path = 1500, .batch = 64, .policy = Policy::fragment};
  const auto narrow = plan(question);
  ASSERT_TRUE(narrow.ok());
  EXPECT_EQ(narrow->batch, 64U);
  EXPECT_EQ(narrow->inner_mtu, 1238U);  // IPv4 can give way, IPv6 cannot
  EXPECT_EQ(narrow->inner_mtu_ipv6, 1280U);
  EXPECT_TRUE(narrow->fragments);
  question.path = 1600;
  const auto wide = plan(question);
  ASSERT_TRUE(wide.ok());
  EXPECT_EQ(wide->inner_mtu, 1338U);
  EXPECT_EQ(wide->inner_mtu_ipv6, 1338U);
  EXPECT_FALSE(wide->fragments);
}

TEST(Plan, APathTooSmallIsRefusedWithTheWayOut) {
  const auto planned = plan({.sa = gcm(), .path = 1447, .policy = Policy::cap});
  ASSERT_FALSE(planned.ok());
  EXPECT_EQ(planned.error().kind(), ErrorKind::limit);
  EXPECT_NE(planned.error().message().find("leaves 111 bytes"), std::string::npos)
      << planned.error().message();
  EXPECT_NE(planned.error().message().find("mtu.policy"), std::string::npos);
  EXPECT_TRUE(plan({.sa = gcm(), .path = 1448, .policy = Policy::cap}).ok());
}

TEST(Plan, TheConfiguredMtuOnlyLowers) {
  Question question{.sa = gcm(), .path = 1500, .batch = 1, .configured = 1300};
  EXPECT_EQ(plan(question)->inner_mtu, 1300U);
  question.configured = 1400;
  EXPECT_EQ(plan(question)->inner_mtu, 1334U);
}

TEST(Plan, RefusesWhatCannotBe) {
  const auto kind = [](const Question& question) { return plan(question).error().kind(); };
  EXPECT_EQ(kind({.sa = gcm(), .path = 65536}), ErrorKind::invalid);
  EXPECT_EQ(kind({.sa = gcm(), .path = 67}), ErrorKind::invalid);
  EXPECT_EQ(kind({.sa = gcm(true), .path = 1279}), ErrorKind::invalid);
  EXPECT_EQ(kind({.sa = gcm(), .batch = 0}), ErrorKind::invalid);
  EXPECT_EQ(kind({.sa = gcm(), .batch = max_batch + 1}), ErrorKind::invalid);
  EXPECT_EQ(kind({.sa = gcm(), .configured = 1279}), ErrorKind::invalid);
  EXPECT_EQ(kind({.sa = {.block = 0, .measured = {}}}), ErrorKind::invalid);
  EXPECT_EQ(kind({.sa = {.iv = 65, .measured = {}}}), ErrorKind::invalid);
  EXPECT_EQ(kind({.sa = {.measured = 1025}}), ErrorKind::invalid);
  Question ah_in_udp{.sa = ah(false, Mode::tunnel)};
  ah_in_udp.sa.udp = true;
  EXPECT_EQ(kind(ah_in_udp), ErrorKind::invalid);
}

TEST(Mss, IsThePacketWithoutHeaders) {
  EXPECT_EQ(mss(false, 1280), 1240);
  EXPECT_EQ(mss(true, 1280), 1220);
  EXPECT_EQ(mss(true, 30), 0);
  EXPECT_EQ(mss(false, 1000000), 65495);
}

TEST(Clamp, RulesForBothDirections) {
  EXPECT_EQ(nft_clamp({false, "192.0.2.2", 1240}),
            (std::vector<std::string>{
                "ip daddr 192.0.2.2 tcp flags & (syn | rst) == syn tcp option maxseg size > "
                "1240 tcp option maxseg size set 1240",
                "ip saddr 192.0.2.2 tcp flags & (syn | rst) == syn tcp option maxseg size > "
                "1240 tcp option maxseg size set 1240"}));
  EXPECT_EQ(nft_clamp({true, "2001:db8::2", 1220}).at(0).substr(0, 21), "ip6 daddr 2001:db8::2");
  EXPECT_EQ(iptables_clamp({false, "192.0.2.2", 1240}),
            (std::vector<std::string>{
                "-d 192.0.2.2 -p tcp -m tcp --tcp-flags SYN,RST SYN -m tcpmss --mss "
                "1241:65535 -j TCPMSS --set-mss 1240",
                "-s 192.0.2.2 -p tcp -m tcp --tcp-flags SYN,RST SYN -m tcpmss --mss "
                "1241:65535 -j TCPMSS --set-mss 1240"}));
}

Tunnel transport(bool ipv6) {
  Tunnel tunnel{.peer = *net::Address::parse(ipv6 ? "2001:db8::2" : "192.0.2.2")};
  tunnel.sa = ah(ipv6, Mode::transport);
  return tunnel;
}

TEST(Clamp, OfTunnelsInTransportModeAlone) {
  Tunnel tunnel = transport(false);
  tunnel.inner.push_back(*net::Prefix::parse("10.2.0.0/24"));
  tunnel.sa.mode = Mode::tunnel;
  std::vector<Tunnel> tunnels{tunnel, transport(false), transport(true)};
  tunnels[2].most_path = 1400;
  const auto clamps = transport_clamps(tunnels, 64);
  ASSERT_TRUE(clamps.ok());
  ASSERT_EQ(clamps->size(), 2U);
  EXPECT_EQ(clamps->at(0).peer, "192.0.2.2");
  EXPECT_EQ(clamps->at(0).mss, 1500 - 208 - 32 - 40);
  EXPECT_TRUE(clamps->at(1).ipv6);
  EXPECT_EQ(clamps->at(1).mss, 1400 - 208 - 32 - 60);
}

}  // namespace
}  // namespace cs::mtu
