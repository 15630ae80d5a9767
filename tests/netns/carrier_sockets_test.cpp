// SPDX-License-Identifier: GPL-3.0-or-later
// The network worker's sockets pass where policies block everything, those that a listener accepts
// too.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keyms/carrier/sockets.h"
#include "tests/netns/environment.h"
#include "tests/support/unwrap.h"

namespace cs::keyms::carrier {
namespace {

using test::get;
using test::Netns;

class CarrierSockets : public testing::TestWithParam<test::Family> {
 protected:
  CarrierSockets() {
    for (const Netns* end : {&pair_.a, &pair_.b}) {
      for (const std::string direction : {"in", "out"}) {
        // Not IPv6's neighbour discovery, without which nothing passes.
        get(end->must({"ip", "xfrm", "policy", "add", "src", any(), "dst", any(), "proto", "tcp",
                       "dir", direction, "action", "block"}));
      }
    }
  }
  static std::size_t family() { return GetParam() == test::Family::v6 ? 1 : 0; }
  static std::string any() { return family() == 1 ? "::/0" : "0.0.0.0/0"; }
  static Endpoint at(const std::string& address) {
    return {get(net::Address::parse(address)), 4739};
  }
  static bool ready(const UniqueFd& fd, short events, int limit_ms = 2000) {
    pollfd waited{fd.get(), events, 0};
    return ::poll(&waited, 1, limit_ms) == 1 && (waited.revents & (POLLERR | POLLHUP)) == 0;
  }
  test::Pair pair_ = get(test::make_pair());
  const Endpoint there_ = at(test::kAddressesB.at(family()));
};

TEST_P(CarrierSockets, BesideIpsecACallIsAcceptedAndAnswered) {
  const UniqueFd listening =
      get(pair_.b.run([&] { return listen_for_peers(there_, BesideIpsec::yes); }));
  const UniqueFd calling = get(pair_.a.run([&] { return call_peer(there_, BesideIpsec::yes); }));
  ASSERT_TRUE(ready(calling, POLLOUT));
  ASSERT_TRUE(ready(listening, POLLIN));
  const UniqueFd accepted(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  for (const auto& [from, to] : {std::pair(&calling, &accepted), std::pair(&accepted, &calling)}) {
    ASSERT_EQ(::send(from->get(), "x", 1, MSG_NOSIGNAL), 1);
    char byte = 0;
    ASSERT_TRUE(ready(*to, POLLIN));
    EXPECT_EQ(::recv(to->get(), &byte, 1, 0), 1);
  }
}

TEST_P(CarrierSockets, AnyOtherCallIsBlocked) {
  const UniqueFd listening =
      get(pair_.b.run([&] { return listen_for_peers(there_, BesideIpsec::yes); }));
  const auto calling = pair_.a.run([&] { return call_peer(there_, BesideIpsec::no); });
  if (calling.ok()) {
    EXPECT_FALSE(ready(*calling, POLLOUT, 300));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, CarrierSockets,
                         testing::Values(test::Family::v4, test::Family::v6), [](const auto& test) {
                           return test.param == test::Family::v4 ? "v4" : "v6";
                         });

}  // namespace
}  // namespace cs::keyms::carrier
