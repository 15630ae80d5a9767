// SPDX-License-Identifier: GPL-3.0-or-later
// Tunnels put into a kernel that has ESP and AH, which the machine that builds may not have: for
// the lab's guest (lab/test_xfrm_install.py).  a ------ [left] router [right] ------ b
#include <gtest/gtest.h>
#include <linux/udp.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <future>
#include <thread>

#include "base/hex.h"
#include "tests/netns/killed.h"
#include "tests/netns/xfrm_tunnel.h"
#include "tests/support/memory_search.h"
#include "tests/support/packet.h"
#include "tests/support/scratch.h"
#include "tests/support/sockets.h"
#include "xfrm/binding.h"

namespace cs::xfrm {
namespace {

using test::get;
using test::Netns;
using test::policies_in;
using test::sas_in;
using test::TunnelEnds;

constexpr std::array<std::uint8_t, 4> kSession{1, 2, 3, 4};
constexpr std::uint16_t kNatPort = 4500;
constexpr std::chrono::milliseconds kSilence{150};

struct Case {
  const char* name;
  bool ipv6;
  std::uint8_t protocol;
  Mode mode;
  bool aead;
  bool in_udp;
};
const std::vector<Case> kCases{
    {"EspTunnel4", false, IPPROTO_ESP, Mode::tunnel, true, false},
    {"EspTunnel6", true, IPPROTO_ESP, Mode::tunnel, true, false},
    {"EspInUdp4", false, IPPROTO_ESP, Mode::tunnel, true, true},
    {"EspInUdp6", true, IPPROTO_ESP, Mode::tunnel, true, true},
    {"EspTransport4", false, IPPROTO_ESP, Mode::transport, false, false},
    {"EspTransport6", true, IPPROTO_ESP, Mode::transport, false, false},
    {"AhTransport4", false, IPPROTO_AH, Mode::transport, false, false},
    {"AhTransport6", true, IPPROTO_AH, Mode::transport, false, false},
    {"AhTunnel4", false, IPPROTO_AH, Mode::tunnel, false, false},
};

// Made once: under emulation every command that is started costs.
struct Net {
  Netns a = get(Netns::create());
  Netns router = get(Netns::create());
  Netns b = get(Netns::create());
  std::array<UniqueFd, 4> decapsulating;

  Net() {
    get(test::connect({a, "wan", {"192.0.2.1/24", "2001:db8:1::1/64"}},
                      {router, "left", {"192.0.2.2/24", "2001:db8:1::2/64"}}));
    get(test::connect({b, "wan", {"198.51.100.1/24", "2001:db8:2::1/64"}},
                      {router, "right", {"198.51.100.2/24", "2001:db8:2::2/64"}}));
    get(router.write_sysctl("net/ipv4/ip_forward", "1"));
    get(router.write_sysctl("net/ipv6/conf/all/forwarding", "1"));
    for (const bool at_a : {true, false}) {
      const Netns& netns = at_a ? a : b;
      const std::string lines = "address add " + inner(at_a, false) + "/32 dev lo\naddress add " +
                                inner(at_a, true) + "/128 dev lo\nroute add default via " +
                                (at_a ? "192.0.2.2" : "198.51.100.2") +
                                "\nroute add default via 2001:db8:" + (at_a ? "1" : "2") + "::2\n";
      get(netns.must({"sh", "-c", "echo '" + lines + "' | ip -batch -"}));
    }
    std::size_t at = 0;
    for (const Netns* netns : {&a, &b}) {
      for (const bool ipv6 : {false, true}) decapsulating.at(at++) = decapsulator(*netns, ipv6);
    }
  }

  static std::string inner(bool a, bool ipv6) {
    return ipv6 ? (a ? "2001:db8:a::1" : "2001:db8:b::1") : (a ? "10.1.0.1" : "10.2.0.1");
  }
  static UniqueFd decapsulator(const Netns& netns, bool ipv6) {
    return netns.run([&] {
      UniqueFd fd(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      sockaddr_in6 here{};  // long enough for both
      here.sin6_family = ipv6 ? AF_INET6 : AF_INET;
      here.sin6_port = htons(kNatPort);
      const int on = 1;
      const int kind = UDP_ENCAP_ESPINUDP;
      if (ipv6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
      EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&here),
                     ipv6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in)),
                0);
      EXPECT_EQ(setsockopt(fd.get(), IPPROTO_UDP, UDP_ENCAP, &kind, sizeof(kind)), 0);
      return fd;
    });
  }
};

class Esp : public testing::TestWithParam<Case> {
 protected:
  void TearDown() override {
    for (const Netns* netns : {&net().a, &net().b}) {
      netlink::Socket socket = test::xfrm_socket(*netns);
      netlink::Request sas(XFRM_MSG_FLUSHSA, 0);
      sas.fixed<xfrm_usersa_flush>().proto = IPPROTO_RAW;  // of any protocol
      get(socket.tell(std::move(sas), "flushing the SAs"));
      get(socket.tell(netlink::Request(XFRM_MSG_FLUSHPOLICY, 0), "flushing the policies"));
    }
  }

  static Net& net() {
    static Net once;
    return once;
  }
  static const Case& of() { return GetParam(); }
  static std::string host() { return of().ipv6 ? "/128" : "/32"; }
  static std::string inner(bool a) {
    return of().mode == Mode::transport ? outer(a) : Net::inner(a, of().ipv6);
  }
  static std::string outer(bool a) {
    return of().ipv6 ? (a ? "2001:db8:1::1" : "2001:db8:2::1") : (a ? "192.0.2.1" : "198.51.100.1");
  }
  static TunnelEnds ends(bool a) {
    return {inner(a) + host(), inner(!a) + host(), outer(a), outer(!a), of().protocol, of().mode};
  }

  // From a to b, or back; both ends have the same.
  static SaWithKeys sa(bool from_a, std::uint32_t spi) {
    Sa sa;
    sa.id = {get(Address::parse(outer(!from_a))), spi, of().protocol, {}};
    sa.source = get(Address::parse(outer(from_a)));
    sa.mode = of().mode;
    sa.reqid = 7;
    sa.selector.any_family = of().mode == Mode::tunnel;
    if (of().mode == Mode::transport) {
      sa.selector.source = get(Prefix::parse(outer(from_a) + host()));
      sa.selector.destination = get(Prefix::parse(outer(!from_a) + host()));
    }
    sa.replay = {128, of().protocol == IPPROTO_ESP, 0, 0};
    if (of().aead) sa.aead = Algorithm{"rfc4106(gcm(aes))", 288, 128};
    if (!of().aead) sa.authentication = Algorithm{"hmac(sha256)", 256, 128};
    const bool cbc = !of().aead && of().protocol == IPPROTO_ESP;
    if (cbc) sa.encryption = Algorithm{"cbc(aes)", 256, 0};
    if (of().in_udp) sa.encapsulation = Encapsulation{UDP_ENCAP_ESPINUDP, kNatPort, kNatPort};
    SecretBytes keys = get(SecretBytes::create(of().aead ? 36 : cbc ? 64 : 32));
    for (std::size_t i = 0; i < keys.size(); ++i) {
      keys.bytes()[i] = static_cast<std::uint8_t>(spi * 29 + i);
    }
    return {std::move(sa), std::move(keys)};
  }
  // Those made anew, by SPI; even ones are from a to b.
  static TunnelSet set_of(bool a, const std::vector<std::uint32_t>& fresh,
                          const std::vector<std::uint32_t>& kept = {}) {
    TunnelSet set{test::policies_of(ends(a)), {}, {}};
    for (const std::uint32_t spi : fresh) set.sas.push_back(sa(spi % 2 == 0, spi));
    for (const std::uint32_t spi : kept) set.kept.push_back(sa(spi % 2 == 0, spi).sa.id);
    return set;
  }

  Installer open(bool a) const {
    return get(Installer::open(test::xfrm_socket(a ? net().a : net().b),
                               (a ? files_a_ : files_b_).file("installed")));
  }
  // How many of `count` are answered.
  static int ping(int count, const std::string& interval = "0.01") {
    const auto done =
        get(net().a.command({"ping", "-n", "-q", "-i", interval, "-c", std::to_string(count), "-W",
                             "1", "-I", inner(true), inner(false)},
                            std::chrono::seconds(60)));
    const std::size_t end = done.output.find(" received");
    const std::size_t begin = done.output.rfind(' ', end - 1);
    return end == std::string::npos ? 0 : std::stoi(done.output.substr(begin, end - begin));
  }
  static test::Capture capture() {
    return get(net().router.run([] {
      return test::Capture::open(
          "left", {IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_ESP, IPPROTO_AH, IPPROTO_UDP});
    }));
  }
  // What came by: protected packets, and whether a ping was among the others.
  struct Seen {
    int protected_ones = 0;
    int pings = 0;
  };
  static Seen seen(const test::Capture& capture) {
    Seen out;
    while (const auto packet = get(capture.receive(kSilence))) {
      const auto ip = test::parse_ip(packet->bytes);
      if (!ip) continue;
      const std::uint8_t wanted = of().in_udp ? std::uint8_t{IPPROTO_UDP} : of().protocol;
      if (ip->protocol == wanted) ++out.protected_ones;
      const bool echo =
          ip->protocol == IPPROTO_ICMP || (ip->protocol == IPPROTO_ICMPV6 && ip->payload[0] == 128);
      if (echo) ++out.pings;
    }
    return out;
  }
  static std::string bound(bool at_a, std::uint32_t spi) {
    netlink::Socket socket = test::xfrm_socket(at_a ? net().a : net().b);
    const Sense sense = spi % 2 == 0 ? Sense::to_responder : Sense::to_initiator;
    return hex_encode(get(bind_sa(socket, sa(spi % 2 == 0, spi).sa.id, kSession, sense)));
  }

  test::Scratch files_a_ = get(test::Scratch::create());
  test::Scratch files_b_ = get(test::Scratch::create());
};

TEST_P(Esp, CarriesPacketsIsBoundAndGoes) {
  Installer a = open(true);
  Installer b = open(false);
  get(a.replace("t", set_of(true, {0x1000, 0x1001})));
  get(b.replace("t", set_of(false, {0x1000, 0x1001})));
  const test::Capture wire = capture();
  EXPECT_EQ(ping(3), 3);
  const Seen passed = seen(wire);
  EXPECT_GE(passed.protected_ones, 3);
  EXPECT_EQ(passed.pings, 0);

  EXPECT_EQ(sas_in(net().a).size(), 2U);
  for (const Sa& told : sas_in(net().a)) {
    const Sa asked = sa(told.id.spi % 2 == 0, told.id.spi).sa;
    EXPECT_EQ(told.aead, asked.aead);
    EXPECT_EQ(told.encryption, asked.encryption);
    EXPECT_EQ(told.authentication, asked.authentication);
    EXPECT_EQ(told.encapsulation, asked.encapsulation);
    EXPECT_EQ(told.selector, asked.selector);
    EXPECT_EQ(told.replay.window, asked.replay.window);
    EXPECT_EQ(told.replay.extended, asked.replay.extended);
    EXPECT_EQ(told.unknown, asked.unknown);
  }
  EXPECT_EQ(bound(true, 0x1000), bound(false, 0x1000));
  EXPECT_EQ(bound(true, 0x1001), bound(false, 0x1001));
  EXPECT_NE(bound(true, 0x1000), bound(true, 0x1001));

  get(a.remove("t"));
  EXPECT_TRUE(sas_in(net().a).empty());
  EXPECT_TRUE(policies_in(net().a).empty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, Esp, testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.name; });

class EspRekey : public Esp {};
// What does not depend on the kind.
class EspTunnel : public Esp {};

TEST_P(EspRekey, RekeysUnderTrafficWithoutLossAndWithoutAPacketInClear) {
  Installer a = open(true);
  Installer b = open(false);
  get(a.replace("t", set_of(true, {0x1000, 0x1001})));
  get(b.replace("t", set_of(false, {0x1000, 0x1001})));
  const auto policies = policies_in(net().a);
  const test::Capture wire = capture();
  auto answered = std::async(std::launch::async, [&] { return ping(100); });
  for (std::uint32_t old = 0x1000; old < 0x1004; old += 2) {
    const std::uint32_t to_b = old + 2;
    const std::uint32_t to_a = old + 3;
    get(a.replace("t", set_of(true, {to_a}, {old, old + 1})));
    get(b.replace("t", set_of(false, {to_b}, {old, old + 1})));
    get(a.replace("t", set_of(true, {to_b}, {old, old + 1, to_a})));
    get(b.replace("t", set_of(false, {to_a}, {old, old + 1, to_b})));
    // What is under way arrives, and the clock by which a kernel knows the newer SA goes on.
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    get(a.replace("t", set_of(true, {}, {to_a, to_b})));
    get(b.replace("t", set_of(false, {}, {to_a, to_b})));
  }
  EXPECT_EQ(answered.get(), 100);
  const Seen passed = seen(wire);
  EXPECT_GE(passed.protected_ones, 100);
  EXPECT_EQ(passed.pings, 0);
  EXPECT_EQ(policies_in(net().a), policies) << "only the SAs changed";
  EXPECT_EQ(get(a.sas("t")).size(), 2U);
  EXPECT_EQ(bound(true, 0x1004), bound(false, 0x1004));
  EXPECT_FALSE(sas_in(net().a).empty());
}

TEST_P(EspTunnel, AKeyIsNeverInstalledTwice) {
  Installer a = open(true);
  get(a.replace("t", set_of(true, {0x1000, 0x1001})));
  const auto again = a.replace("t", set_of(true, {0x1000, 0x1001}));
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().kind(), ErrorKind::exists);
  EXPECT_NE(again.error().message().find("other keys"), std::string::npos);
  EXPECT_EQ(sas_in(net().a).size(), 2U);
}

TEST_P(EspTunnel, IsUndoneWhateverTheKernelRefuses) {
  Installer a = open(true);
  get(a.replace("t", set_of(true, {0x1000, 0x1001})));
  const auto policies = policies_in(net().a);
  const auto unchanged = [&] {
    const auto sas = sas_in(net().a);
    const bool ours = std::ranges::count_if(sas, [](const Sa& sa) {
                        return sa.id.spi == 0x1000 || sa.id.spi == 0x1001;
                      }) == 2;
    const bool added = std::ranges::any_of(sas, [](const Sa& sa) { return sa.id.spi == 0x1002; });
    return ours && !added && policies_in(net().a) == policies;
  };
  // An algorithm that no kernel has.
  TunnelSet unknown = set_of(true, {0x1002, 0x1003});
  unknown.sas[1].sa.aead->name = "rfc4106(gcm(nosuch))";
  const auto no_such = a.replace("t", std::move(unknown));
  ASSERT_FALSE(no_such.ok());
  EXPECT_NE(no_such.error().message().find("crypto-nosuch"), std::string::npos)
      << no_such.error().message();
  EXPECT_TRUE(unchanged());
  // An SA of somebody else in the place of the second, and it stays.
  get(net().a.must({"ip",
                    "xfrm",
                    "state",
                    "add",
                    "src",
                    outer(false),
                    "dst",
                    outer(true),
                    "proto",
                    "esp",
                    "spi",
                    "0x1003",
                    "reqid",
                    "9",
                    "mode",
                    "tunnel",
                    "aead",
                    "rfc4106(gcm(aes))",
                    "0x" + std::string(72, '5'),
                    "128"}));
  const auto taken = a.replace("t", set_of(true, {0x1002, 0x1003}));
  ASSERT_FALSE(taken.ok());
  EXPECT_NE(taken.error().message().find("not ours"), std::string::npos);
  EXPECT_TRUE(unchanged());
  EXPECT_EQ(sas_in(net().a).size(), 3U);
  // A policy of somebody else, after the SAs.
  TunnelSet more = set_of(true, {0x1002, 0x1005});
  Policy other = more.policies[0];
  other.selector.protocol = IPPROTO_TCP;
  more.policies.push_back(other);
  Installer foreign = get(Installer::open(test::xfrm_socket(net().a), files_b_.file("installed")));
  get(foreign.replace("x", {{other}, {}, {}}));
  EXPECT_FALSE(a.replace("t", std::move(more)).ok());
  get(foreign.remove("x"));
  EXPECT_TRUE(unchanged());
  get(a.remove("t"));
  EXPECT_EQ(sas_in(net().a).size(), 1U) << "the foreign one";
}

TEST_P(EspTunnel, ASuccessorTakesOutWhatAKilledOneLeft) {
  bool ended = false;
  for (int n = 0; !ended; n += 3) {
    ended = !net().a.run([&] {
      return test::killed_before(n, [&] {
        auto socket = open_socket();
        if (!socket.ok()) _exit(1);
        auto installer = Installer::open(std::move(*socket), files_a_.file("installed"));
        if (!installer.ok()) _exit(1);
        if (!installer->replace("t", set_of(true, {0x1000, 0x1001})).ok()) _exit(1);
      });
    });
    Installer successor = open(true);
    get(successor.remove("t"));
    ASSERT_TRUE(sas_in(net().a).empty()) << n;
    ASSERT_TRUE(policies_in(net().a).empty()) << n;
  }
}

TEST_P(EspTunnel, LeavesNoKeyInMemory) {
  test::MemorySearch search(36);
  Installer a = open(true);
  TunnelSet set = set_of(true, {0x1000});
  test::write_key(set.sas[0].keys.bytes());
  EXPECT_EQ(search.count(), 1);
  get(a.replace("t", std::move(set)));
  EXPECT_EQ(search.count(), 0) << "after it was installed";
  bound(true, 0x1000);
  EXPECT_EQ(search.count(), 0) << "after it was bound";
  EXPECT_EQ(get(a.sas("t")).size(), 1U);
  EXPECT_EQ(search.count(), 0) << "after it was looked for";
  netlink::Socket socket = test::xfrm_socket(net().a);
  get(each_sa(socket, [](const Sa&) { return Result<void>(); }));
  EXPECT_EQ(search.count(), 0) << "after all were listed";
  const auto refused = each_sa(
      socket, [](const Sa&) -> Result<void> { return Error(ErrorKind::invalid, "not this"); });
  EXPECT_FALSE(refused.ok());
  EXPECT_EQ(search.count(), 0) << "after an answer was not read to its end";
}

INSTANTIATE_TEST_SUITE_P(Tunnel, EspTunnel, testing::Values(kCases[0]),
                         [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(Tunnels, EspRekey, testing::Values(kCases[0], kCases[1]),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace cs::xfrm
