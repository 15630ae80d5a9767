// SPDX-License-Identifier: GPL-3.0-or-later
// How many socket policies keymsd's own sockets have, against what the kernel has.
#include "keyms/daemon/own_socket.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "keyms/carrier/sockets.h"
#include "tests/netns/environment.h"
#include "tests/support/unwrap.h"
#include "xfrm/install/bypass.h"
#include "xfrm/state/kernel.h"

namespace cs::keyms {
namespace {

using test::get;
using test::Netns;

class OwnSocketsTest : public testing::TestWithParam<std::string> {
 protected:
  // On a thread inside, as tables of sockets are files.
  void inside(const std::function<void()>& test) const {
    netns_.run([&] {
      test();
      return 0;
    });
  }
  static net::Address loopback() { return get(net::Address::parse(GetParam())); }
  UniqueFd listener() {
    UniqueFd fd = get(carrier::listen_for_peers({loopback(), 4739}, carrier::BesideIpsec::yes));
    get(own_.add_listener(fd.get()));
    return fd;
  }
  UniqueFd connection() {
    UniqueFd fd = get(carrier::call_peer({loopback(), 4739}, carrier::BesideIpsec::yes));
    get(own_.add_connection(fd.get()));
    return fd;
  }
  static std::size_t in_kernel() {
    netlink::Socket socket = get(xfrm::open_socket());
    const xfrm::State state = get(xfrm::read_state(socket));
    return static_cast<std::size_t>(
        std::ranges::count_if(state.policies, &xfrm::Policy::is_of_socket));
  }

  Netns netns_ = get(Netns::create());
  OwnSockets own_;
};

TEST_P(OwnSocketsTest, AreCountedAsTheKernelHasThem) {
  inside([&] {
    EXPECT_EQ(get(own_.bypasses()), 0U);
    const UniqueFd listens = listener();
    EXPECT_EQ(in_kernel(), 2U);
    EXPECT_EQ(get(own_.bypasses()), 2U);
    UniqueFd client = connection();
    pollfd waits{listens.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&waits, 1, 5000), 1);
    EXPECT_EQ(in_kernel(), 6U) << "one that nobody accepted yet has inherited them";
    EXPECT_EQ(get(own_.bypasses()), 6U);
    UniqueFd accepted(::accept(listens.get(), nullptr, nullptr));
    ASSERT_TRUE(accepted);
    EXPECT_EQ(in_kernel(), 6U);
    EXPECT_EQ(get(own_.bypasses()), 6U);
    client.reset();  // the other end is open: it is only closing
    EXPECT_GE(get(own_.bypasses()), in_kernel());
    accepted.reset();
    EXPECT_GE(get(own_.bypasses()), in_kernel());
  });
}

TEST_P(OwnSocketsTest, SomebodyElsesBypassIsNotOurs) {
  inside([&] {
    const UniqueFd listens = listener();
    const bool ipv6 = loopback().ipv6;
    const UniqueFd other(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    if (ipv6) ::setsockopt(other.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    get(xfrm::bypass_xfrm(other.get()));
    EXPECT_EQ(in_kernel(), 4U);
    EXPECT_EQ(get(own_.bypasses()), 2U);
  });
}

INSTANTIATE_TEST_SUITE_P(Families, OwnSocketsTest, testing::Values("127.0.0.1", "::1"),
                         [](const auto& test) {
                           return std::string(test.param == "::1" ? "v6" : "v4");
                         });

}  // namespace
}  // namespace cs::keyms
