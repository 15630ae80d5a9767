// SPDX-License-Identifier: GPL-3.0-or-later
// Which policy a packet meets: what xfrm/agreement/precedence.h says against what this kernel does.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/netns/environment.h"
#include "tests/support/unwrap.h"
#include "xfrm/agreement/precedence.h"
#include "xfrm/state/kernel.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using test::get;
using test::Netns;

class Precedence : public testing::Test {
 protected:
  void SetUp() override {
    command("link add cable type veth peer name other");
    command("address add 10.5.0.1/16 dev cable");
    command("link set cable up");
    command("link set other up");
    command("route add 10.0.0.0/8 dev cable");
  }

  void command(const std::string& words) const {
    std::vector<std::string> argv{"ip"};
    std::istringstream in(words);
    for (std::string word; in >> word;) argv.push_back(word);
    get(netns_.must(argv));
  }
  void add(const std::string& selector, unsigned priority, const std::string& action) const {
    command("xfrm policy add " + selector + " dir out priority " + std::to_string(priority) +
            " action " + action);
  }
  std::vector<Policy> policies() const {
    return netns_.run([] {
      netlink::Socket socket = get(open_socket());
      return get(read_state(socket)).policies;
    });
  }
  // Whether a policy stops UDP to this address and port: the kernel looks when it is connected.
  bool is_blocked(const std::string& address, std::uint16_t port, std::uint32_t mark) const {
    return netns_.run([&] {
      const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark), 0);
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(port);
      const Address parsed = get(Address::parse(address));
      std::copy_n(parsed.bytes.begin(), sizeof to.sin_addr,
                  reinterpret_cast<std::uint8_t*>(&to.sin_addr));
      const bool connected =
          connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
      EXPECT_TRUE(connected || errno == EPERM) << errno;
      return !connected;
    });
  }

  Netns netns_ = get(Netns::create());
};

TEST_F(Precedence, TheLowestNumberGoesFirstWhenEverItWasMade) {
  add("src 0.0.0.0/0 dst 10.9.0.0/16", 5, "block");
  add("src 0.0.0.0/0 dst 10.9.1.0/24", 4, "allow");
  EXPECT_FALSE(is_blocked("10.9.1.1", 9, 0));
  EXPECT_TRUE(is_blocked("10.9.2.1", 9, 0));
  command("xfrm policy flush");
  add("src 0.0.0.0/0 dst 10.9.1.0/24", 5, "allow");
  add("src 0.0.0.0/0 dst 10.9.0.0/16", 4, "block");
  EXPECT_TRUE(is_blocked("10.9.1.1", 9, 0));
}

// So the order of a dump says nothing of equals: a change moves a policy in it, not in precedence.
TEST_F(Precedence, ADumpListsWhatChangedLastBeforeTheRest) {
  const std::string wide = "src 0.0.0.0/0 dst 10.9.0.0/16";
  add(wide, 5, "block");
  add("src 0.0.0.0/0 dst 10.9.1.0/24", 5, "allow");
  const bool before = is_blocked("10.9.1.1", 9, 0);
  EXPECT_EQ(name_of(policies().front()), "policy out 0.0.0.0/0 → 10.9.1.0/24");
  command("xfrm policy update " + wide + " dir out priority 5 action block");
  EXPECT_EQ(name_of(policies().front()), "policy out 0.0.0.0/0 → 10.9.0.0/16");
  EXPECT_EQ(is_blocked("10.9.1.1", 9, 0), before);
}

TEST_F(Precedence, APacketFitsWhatWeSayItFits) {
  constexpr unsigned seed = 23;
  std::mt19937 random(seed);
  const auto one_of = [&](std::vector<std::string> list) { return list[random() % list.size()]; };
  unsigned blocked = 0;
  for (int round = 0; round < 60; ++round) {
    const std::string selector =
        one_of({"src 0.0.0.0/0", "src 10.5.0.0/16", "src 10.6.0.0/16"}) + " " +
        one_of({"dst 0.0.0.0/0", "dst 10.9.0.0/17", "dst 10.9.1.1/32", "dst 10.9.1.2/31"}) + " " +
        one_of({"", "", "proto udp", "proto udp dport 9", "proto tcp"}) + " " +
        one_of({"", "", "mark 1 mask 3", "mark 0 mask 2", "mark 4 mask 4"}) + " " +
        one_of({"", "", "", "if_id 7"});
    add(selector, 5, "block");
    const std::vector<Policy> all = policies();
    ASSERT_EQ(all.size(), 1U);
    Policy packet;
    packet.direction = Direction::out;
    packet.selector.source = get(Prefix::parse("10.5.0.1/32"));
    const std::string to = one_of({"10.9.1.1", "10.9.128.1"});
    packet.selector.destination = get(Prefix::parse(to));
    packet.selector.protocol = IPPROTO_UDP;
    packet.selector.source_ports = {40000, 0xffff};
    const auto port = static_cast<std::uint16_t>(9 + random() % 2);
    packet.selector.destination_ports = {port, 0xffff};
    packet.mark = {static_cast<std::uint32_t>(random() % 8), ~0U};
    const bool fits = overlap(all[0], packet);
    EXPECT_EQ(is_blocked(to, port, packet.mark.value), fits) << selector << " to " << to;
    EXPECT_EQ(covers(all[0], packet), fits) << selector;
    blocked += fits ? 1 : 0;
    command("xfrm policy flush");
  }
  EXPECT_GT(blocked, 5U);
  EXPECT_LT(blocked, 55U);
}

}  // namespace
}  // namespace cs::xfrm
