// SPDX-License-Identifier: GPL-3.0-or-later
// The MSS rules as the kernel takes them: two TCP sockets, and what each then sends at most.
#include "xfrm/route/clamp.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <sys/socket.h>

#include <array>
#include <sstream>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "nfq-signer/mtu.h"
#include "tests/netns/environment.h"
#include "tests/support/unwrap.h"

namespace cs::mtu {
namespace {

using test::get;
using test::kAddressesA;
using test::kAddressesB;
using test::Netns;

constexpr std::uint16_t kPort = 4711;
constexpr std::uint32_t kTimestamps = 12;  // an option every segment has then

// Addresses as a socket wants them.
class Name {
 public:
  Name(bool ipv6, const std::string& text) {
    if (ipv6) {
      auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage_);
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(kPort);
      inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr);
    } else {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&storage_);
      v4->sin_family = AF_INET;
      v4->sin_port = htons(kPort);
      inet_pton(AF_INET, text.c_str(), &v4->sin_addr);
    }
  }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }

 private:
  sockaddr_storage storage_{};
};

Result<UniqueFd> open_tcp(const Netns& netns, bool ipv6) {
  UniqueFd fd(
      netns.run([&] { return socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }));
  if (!fd) return from_errno(errno, "opening a TCP socket");
  return fd;
}

std::uint32_t segment_of(const UniqueFd& fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  EXPECT_EQ(getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  return info.tcpi_snd_mss + kTimestamps;
}

// What a and b send to each other at most, in a connection from a to b.
std::pair<std::uint32_t, std::uint32_t> segments(const test::Pair& pair, bool ipv6) {
  const Name name(ipv6, kAddressesB.at(ipv6 ? 1 : 0));
  const socklen_t size = sizeof(sockaddr_storage);
  const UniqueFd listener = get(open_tcp(pair.b, ipv6));
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  EXPECT_EQ(bind(listener.get(), name.get(), size), 0);
  EXPECT_EQ(listen(listener.get(), 1), 0);
  const UniqueFd client = get(open_tcp(pair.a, ipv6));
  EXPECT_EQ(connect(client.get(), name.get(), size), 0);
  const UniqueFd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return {segment_of(client), segment_of(server)};
}

using Segments = std::pair<std::uint32_t, std::uint32_t>;
constexpr std::array kFree{Segments{1460, 1460}, Segments{1440, 1440}};  // of a link of 1500

class Clamp : public testing::TestWithParam<bool> {
 protected:
  static bool ipv6() { return GetParam(); }
  static std::size_t index() { return ipv6() ? 1 : 0; }
  // As for transport mode: of the gateway b, towards a.
  static std::string peer() { return kAddressesA.at(index()); }

  test::Pair pair_ = get(test::make_pair());
};

TEST_P(Clamp, ByIptables) {
  const auto family = ipv6() ? test::Family::v6 : test::Family::v4;
  EXPECT_EQ(segments(pair_, ipv6()), kFree.at(index()));
  for (const std::uint16_t mss : std::to_array<std::uint16_t>({1240, 1459, 1461, 65495})) {
    for (const char* verb : {"-A", "-D"}) {
      for (const char* chain : {"INPUT", "OUTPUT"}) {
        for (const std::string& line : iptables_clamp({ipv6(), peer(), mss})) {
          std::istringstream words(line);
          std::vector<std::string> rule{verb, chain};
          for (std::string word; words >> word;) rule.push_back(word);
          get(test::change_mangle(pair_.b, family, rule));
        }
      }
      if (std::string_view(verb) == "-D") continue;
      const auto least = std::min<std::uint32_t>(mss, kFree.at(index()).first);
      EXPECT_EQ(segments(pair_, ipv6()), (Segments{least, least})) << mss;
    }
  }
}

TEST_P(Clamp, ByNft) {
  if (!pair_.b.must({"nft", "add", "table", "inet", "probe"}).ok()) {
    GTEST_SKIP() << "this machine has no nftables";
  }
  for (const std::uint16_t mss : std::to_array<std::uint16_t>({1240, 1461})) {
    std::string text = "table inet clamp\nflush table inet clamp\ntable inet clamp {\n";
    for (const char* hook : {"input", "output"}) {
      text += std::string("chain ") + hook + " { type filter hook " + hook + " priority -150\n";
      for (const std::string& rule : nft_clamp({ipv6(), peer(), mss})) text += rule + "\n";
      text += "}\n";
    }
    const auto loaded = get(test::run({{"nft", "-f", "-"}, text + "}\n", pair_.b.fd()}));
    ASSERT_EQ(loaded.exit_code, 0) << loaded.output << text;
    const auto least = std::min<std::uint32_t>(mss, kFree.at(index()).first);
    EXPECT_EQ(segments(pair_, ipv6()), (Segments{least, least})) << mss;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Clamp, testing::Bool(),
                         [](const auto& test) { return test.param ? "v6" : "v4"; });

}  // namespace
}  // namespace cs::mtu
