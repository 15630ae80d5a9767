// SPDX-License-Identifier: GPL-3.0-or-later
// The gate's rules as text, and what is read of them. That they hold up what they should is shown
// with packets, in tests/netns and tests/lab.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "tests/support/unwrap.h"
#include "xfrm/gate/rules.h"

namespace cs::xfrm {
namespace {

using test::get;

Address address(const std::string& text) {
  return get(Address::parse(text));
}

GateConfig example() {
  return {.peers = {{.name = "b",
                     .addresses = {address("192.0.2.2"), address("2001:db8::2")},
                     .ike = true}},
          .translator_port = 4600};
}

constexpr std::string_view golden_nft =
    R"(table inet countersign_gate
delete table inet countersign_gate
table inet countersign_gate {
	set b.granted { type inet_proto; }
	set b.any { type inet_proto; }
	set b.in.sa.ip { typeof ip daddr . meta l4proto . esp spi; }
	set b.in.translated.ip { typeof ip daddr . @th,72,8 . @th,96,32; }
	set b.in.sa.ip6 { typeof ip6 daddr . meta l4proto . esp spi; }
	set b.in.translated.ip6 { typeof ip6 daddr . @th,72,8 . @th,96,32; }
	counter b.in.closed { }
	counter b.in.ike { }
	counter b.in.fragment { }
	counter b.in.unknown { }
	counter b.in.held { }
	counter b.in.passed { }
	set b.out.sa.ip { typeof ip daddr . meta l4proto . esp spi; }
	set b.out.sa.ip6 { typeof ip6 daddr . meta l4proto . esp spi; }
	counter b.out.closed { }
	counter b.out.ike { }
	counter b.out.fragment { }
	counter b.out.unknown { }
	counter b.out.held { }
	counter b.out.passed { }
	chain b.in.ipsec {
		meta l4proto @b.any counter name "b.in.passed" accept
		meta l4proto != @b.granted counter name "b.in.closed" drop
		ip daddr . meta l4proto . esp spi @b.in.sa.ip counter name "b.in.passed" accept
		ip daddr . meta l4proto . ah spi @b.in.sa.ip counter name "b.in.passed" accept
		meta l4proto udp ip daddr . meta l4proto . @th,64,32 @b.in.sa.ip counter name "b.in.passed" accept
		ip6 daddr . meta l4proto . esp spi @b.in.sa.ip6 counter name "b.in.passed" accept
		ip6 daddr . meta l4proto . ah spi @b.in.sa.ip6 counter name "b.in.passed" accept
		meta l4proto udp ip6 daddr . meta l4proto . @th,64,32 @b.in.sa.ip6 counter name "b.in.passed" accept
		counter name "b.in.unknown" drop
	}
	chain b.in.translator {
		meta l4proto @b.any counter name "b.in.passed" accept
		meta l4proto != @b.granted counter name "b.in.closed" drop
		@th,72,8 50 ip daddr . @th,72,8 . @th,96,32 @b.in.translated.ip counter name "b.in.passed" accept
		@th,72,8 51 ip daddr . @th,72,8 . @th,128,32 @b.in.translated.ip counter name "b.in.passed" accept
		@th,72,8 50 ip6 daddr . @th,72,8 . @th,96,32 @b.in.translated.ip6 counter name "b.in.passed" accept
		@th,72,8 51 ip6 daddr . @th,72,8 . @th,128,32 @b.in.translated.ip6 counter name "b.in.passed" accept
		counter name "b.in.unknown" drop
	}
	chain b.in {
		frag frag-off != 0 counter name "b.in.fragment" drop
		frag more-fragments 1 counter name "b.in.fragment" drop
		meta l4proto { esp, ah } goto b.in.ipsec
		udp dport { 4500 } @th,64,32 != 0 goto b.in.ipsec
		udp dport 4600 goto b.in.translator
		udp dport { 4500, 500 } meta l4proto != @b.granted counter name "b.in.ike" drop
	}
	chain b.out.ipsec {
		meta l4proto @b.any counter name "b.out.passed" accept
		meta l4proto != @b.granted counter name "b.out.closed" drop
		ip daddr . meta l4proto . esp spi @b.out.sa.ip counter name "b.out.passed" accept
		ip daddr . meta l4proto . ah spi @b.out.sa.ip counter name "b.out.passed" accept
		meta l4proto udp ip daddr . meta l4proto . @th,64,32 @b.out.sa.ip counter name "b.out.passed" accept
		ip6 daddr . meta l4proto . esp spi @b.out.sa.ip6 counter name "b.out.passed" accept
		ip6 daddr . meta l4proto . ah spi @b.out.sa.ip6 counter name "b.out.passed" accept
		meta l4proto udp ip6 daddr . meta l4proto . @th,64,32 @b.out.sa.ip6 counter name "b.out.passed" accept
		counter name "b.out.unknown" drop
	}
	chain b.out {
		meta l4proto { esp, ah } goto b.out.ipsec
		udp sport { 4500 } @th,64,32 != 0 goto b.out.ipsec
		udp sport { 4500, 500 } meta l4proto != @b.granted counter name "b.out.ike" drop
	}
	map in.ip { type ipv4_addr : verdict; elements = { 192.0.2.2 : goto b.in } }
	map in.ip6 { type ipv6_addr : verdict; elements = { 2001:db8::2 : goto b.in } }
	map out.ip { type ipv4_addr : verdict; elements = { 192.0.2.2 : goto b.out } }
	map out.ip6 { type ipv6_addr : verdict; elements = { 2001:db8::2 : goto b.out } }
	chain out {
		type filter hook output priority -350; policy accept;
		ip daddr vmap @out.ip
		ip6 daddr vmap @out.ip6
	}
	chain in {
		type filter hook input priority -350; policy accept;
		ct state invalid continue comment "db7d8cc59326dcd4 of 43"
		ip saddr vmap @in.ip
		ip6 saddr vmap @in.ip6
	}
}
)";

constexpr std::string_view golden_iptables_v6 =
    R"RULES(*raw
:CSGATE_IN - [0:0]
:CSGATE_OUT - [0:0]
:CSGATE_b.I - [0:0]
:CSGATE_b.IS - [0:0]
:CSGATE_b.IX - [0:0]
:CSGATE_b.IE - [0:0]
:CSGATE_b.IL - [0:0]
:CSGATE_b.IT - [0:0]
:CSGATE_b.IC - [0:0]
:CSGATE_b.IK - [0:0]
:CSGATE_b.IF - [0:0]
:CSGATE_b.IU - [0:0]
:CSGATE_b.IP - [0:0]
:CSGATE_b.O - [0:0]
:CSGATE_b.OS - [0:0]
:CSGATE_b.OX - [0:0]
:CSGATE_b.OE - [0:0]
:CSGATE_b.OL - [0:0]
:CSGATE_b.OT - [0:0]
:CSGATE_b.OC - [0:0]
:CSGATE_b.OK - [0:0]
:CSGATE_b.OF - [0:0]
:CSGATE_b.OU - [0:0]
:CSGATE_b.OP - [0:0]
:CSGATE_b.IS - [0:0]
:CSGATE_b.IX - [0:0]
:CSGATE_b.IE - [0:0]
-A CSGATE_b.IS -g CSGATE_b.IC
-A CSGATE_b.IX -g CSGATE_b.IC
-A CSGATE_b.IE -g CSGATE_b.IK
:CSGATE_b.IL - [0:0]
-A CSGATE_b.IL -g CSGATE_b.IU
:CSGATE_b.IT - [0:0]
-A CSGATE_b.IT -g CSGATE_b.IU
:CSGATE_b.OS - [0:0]
:CSGATE_b.OX - [0:0]
:CSGATE_b.OE - [0:0]
-A CSGATE_b.OS -g CSGATE_b.OC
-A CSGATE_b.OX -g CSGATE_b.OC
-A CSGATE_b.OE -g CSGATE_b.OK
:CSGATE_b.OL - [0:0]
-A CSGATE_b.OL -g CSGATE_b.OU
:CSGATE_b.OT - [0:0]
-A CSGATE_b.OT -g CSGATE_b.OU
# Asking for the connection makes the kernel reassemble before this table.
-A CSGATE_IN -m conntrack --ctstate INVALID -m comment --comment "db7d8cc59326dcd4 of 29"
-A CSGATE_IN -s 2001:db8::2 -g CSGATE_b.I
-A CSGATE_b.I -m frag --fragmore -g CSGATE_b.IF
-A CSGATE_b.I -m ah -g CSGATE_b.IS
-A CSGATE_b.I -p esp -g CSGATE_b.IS
-A CSGATE_b.I -p udp -m multiport --dports 4600 -g CSGATE_b.IX
-A CSGATE_b.I -p udp -m multiport --dports 500 -g CSGATE_b.IE
-A CSGATE_b.I -p udp -m multiport --dports 4500 -m u32 --u32 "3&0xFF=0x11&&48=0x0" -g CSGATE_b.IE
-A CSGATE_b.I -p udp -m multiport --dports 4500 -m u32 --u32 "3&0xFF=0x11&&42&0xFFFF=0x0:0xB" -g CSGATE_b.IE
-A CSGATE_b.I -p udp -m multiport --dports 4500 -g CSGATE_b.IS
-A CSGATE_b.IC -j DROP
-A CSGATE_b.IF -j DROP
-A CSGATE_b.IU -j DROP
-A CSGATE_b.IP -j RETURN
-A CSGATE_b.IK -j DROP
-A CSGATE_OUT -d 2001:db8::2 -g CSGATE_b.O
-A CSGATE_b.O -m ah -g CSGATE_b.OS
-A CSGATE_b.O -p esp -g CSGATE_b.OS
-A CSGATE_b.O -p udp -m multiport --sports 500 -g CSGATE_b.OE
-A CSGATE_b.O -p udp -m multiport --sports 4500 -m u32 --u32 "3&0xFF=0x11&&48=0x0" -g CSGATE_b.OE
-A CSGATE_b.O -p udp -m multiport --sports 4500 -m u32 --u32 "3&0xFF=0x11&&42&0xFFFF=0x0:0xB" -g CSGATE_b.OE
-A CSGATE_b.O -p udp -m multiport --sports 4500 -g CSGATE_b.OS
-A CSGATE_b.OC -j DROP
-A CSGATE_b.OF -j DROP
-A CSGATE_b.OU -j DROP
-A CSGATE_b.OP -j RETURN
-A CSGATE_b.OK -j DROP
# At the head: an ACCEPT of another rule must not come first.
-I PREROUTING -m addrtype --dst-type LOCAL -j CSGATE_IN
-I OUTPUT -j CSGATE_OUT
COMMIT
)RULES";

TEST(GateText, Nft) {
  EXPECT_EQ(nft_gate(example()), golden_nft);
}

TEST(GateText, IptablesV6) {
  EXPECT_EQ(iptables_gate(example(), IpFamily::v6, ""), golden_iptables_v6);
}

TEST(GateText, AnAdmissionIsOfEachFormAPacketHas) {
  EXPECT_EQ(
      nft_gate_admission("b", {GateWay::in, address("192.0.2.1"), IPPROTO_ESP, 0xc0000001}),
      "add element inet countersign_gate b.in.sa.ip { 192.0.2.1 . esp . 3221225473 }\n"
      "add element inet countersign_gate b.in.sa.ip { 192.0.2.1 . udp . 3221225473 }\n"
      "add element inet countersign_gate b.in.translated.ip { 192.0.2.1 . 50 . 3221225473 }\n");
  EXPECT_EQ(nft_gate_admission("b", {GateWay::out, address("2001:db8::2"), IPPROTO_AH, 256}),
            "add element inet countersign_gate b.out.sa.ip6 { 2001:db8::2 . ah . 256 }\n");
  EXPECT_EQ(iptables_gate_admission("b", {GateWay::out, address("192.0.2.2"), IPPROTO_AH, 256}),
            "*raw\n"
            "-I CSGATE_b.OT -d 192.0.2.2 -p udp -m u32 --u32 "
            "\"0>>22&0x3C@8>>16&0xFF=51&&0>>22&0x3C@16=256\" -g CSGATE_b.OP\n"
            "-I CSGATE_b.OL -d 192.0.2.2 -p ah -m ah --ahspi 256 -g CSGATE_b.OP\n"
            "COMMIT\n");
}

TEST(GateText, HeldIsAQueueInPlaceOfADrop) {
  GateConfig config = example();
  config.held_queue = 9;
  EXPECT_NE(nft_gate(config).find("counter name \"b.in.held\" queue to 9\n"), std::string::npos);
  EXPECT_EQ(nft_gate(config).find("\"b.in.unknown\" drop"), std::string::npos);
  EXPECT_NE(
      iptables_gate(config, IpFamily::v4, "").find("-A CSGATE_b.IU -j NFQUEUE --queue-num 9\n"),
      std::string::npos);
}

void expect_refused(const GateConfig& config, const std::string& word) {
  const Result<void> checked = check_gate(config);
  ASSERT_FALSE(checked.ok()) << word;
  EXPECT_NE(checked.error().message().find(word), std::string::npos) << checked.error().message();
}

TEST(GateConfigs, WhatCannotBeIsRefused) {
  get(check_gate(example()));
  for (const char* name : {"", "1b", "-b", "b c", "b\nflush", "b;", "b\"", "b.in", "b{", "\xc3\xa4",
                           "seventeen_letters"}) {
    GateConfig config = example();
    config.peers[0].name = name;
    expect_refused(config, "no name of a peer");
  }
  const auto changed = [](auto change) {
    GateConfig config = example();
    change(config);
    return config;
  };
  expect_refused(changed([](auto& c) { c.peers.clear(); }), "no peer");
  expect_refused(changed([](auto& c) { c.peers.push_back(c.peers[0]); }), "there twice");
  expect_refused(changed([](auto& c) { c.peers[0].addresses.clear(); }), "no address");
  expect_refused(changed([](auto& c) { c.peers[0].addresses.push_back(c.peers[0].addresses[0]); }),
                 "there twice");
  expect_refused(changed([](auto& c) { c.peers[0].addresses[0] = {}; }), "nobody's");
  expect_refused(changed([](auto& c) { c.peers[0].addresses.resize(17); }), "at most 16");
  expect_refused(changed([](auto& c) { c.peers.resize(257); }), "at most 256");
  expect_refused(changed([](auto& c) { c.udp_ports = {0}; }), "port 0");
  expect_refused(changed([](auto& c) { c.udp_ports = {4600}; }), "4600");
  expect_refused(changed([](auto& c) { c.udp_ports.assign(15, 1); }), "at most 14");
  expect_refused(changed([](auto& c) { c.ike_port = 4500; }), "IKE");
}

TEST(GateConfigs, EachDifferenceShowsInTheFingerprint) {
  const std::string before = fingerprint(example());
  EXPECT_EQ(fingerprint(example()), before);
  const auto differs = [&](auto change) {
    GateConfig config = example();
    change(config);
    EXPECT_NE(fingerprint(config), before);
  };
  differs([](auto& c) { c.peers[0].name = "c"; });
  differs([](auto& c) { c.peers[0].ike = false; });
  differs([](auto& c) { c.peers[0].addresses.pop_back(); });
  differs([](auto& c) { c.udp_ports = {4501}; });
  differs([](auto& c) { c.ike_port = 501; });
  differs([](auto& c) { c.translator_port = 0; });
  differs([](auto& c) { c.held_queue = 0; });
  differs([](auto& c) { c.only_peers = true; });
}

TEST(GateViews, WhatIsNoAnswerIsRefused) {
  for (const char* text : {"", "{", "[]", "{}", "{\"nftables\": 1}", "{\"nftables\": \"\xff\"}"}) {
    EXPECT_FALSE(nft_gate_view(text).ok()) << text;
  }
}

TEST(GateViews, NothingLoadedIsIncomplete) {
  EXPECT_FALSE(get(nft_gate_view(R"({"nftables": []})")).complete);
  EXPECT_FALSE(iptables_gate_view("").has_value());
  EXPECT_FALSE(iptables_gate_view("*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n").has_value());
}

TEST(GateViews, OursInAnotherTableIsNotOurs) {
  EXPECT_FALSE(iptables_gate_view("*mangle\n:CSGATE_IN - [0:0]\n-A CSGATE_IN -j DROP\nCOMMIT\n")
                   .has_value());
  EXPECT_EQ(iptables_gate_removal("*mangle\n:CSGATE_IN - [0:0]\nCOMMIT\n"), "");
}

TEST(GateViews, CountersAreOfWayAndReason) {
  const auto view = iptables_gate_view(
      "*raw\n[7:700] -A CSGATE_b.OC -j DROP\n[2:20] -A CSGATE_b.IU -j NFQUEUE --queue-num 3\n");
  ASSERT_TRUE(view);
  EXPECT_EQ(view->peers.at(0).count(GateWay::out, GateReason::closed), (GateCount{7, 700}));
  EXPECT_EQ(view->peers.at(0).count(GateWay::in, GateReason::held), (GateCount{2, 20}));
}

}  // namespace
}  // namespace cs::xfrm
