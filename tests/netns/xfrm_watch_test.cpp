// SPDX-License-Identifier: GPL-3.0-or-later
// The mirror of this machine's kernel, in namespaces of their own. It has policies; SAs are the
// lab's.
#include <gtest/gtest.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/netns/environment.h"
#include "tests/support/scratch.h"
#include "tests/support/unwrap.h"
#include "xfrm/state/kernel.h"
#include "xfrm/watch/mirror.h"

namespace cs::xfrm {
namespace {

using test::get;
using test::Netns;
using How = Change::How;
using Kind = Event::Kind;

constexpr std::size_t a_page = 4096;

std::string policy(const std::string& verb, int number, const std::string& more = "") {
  const std::string net = std::to_string(number / 250) + "." + std::to_string(number % 250);
  return "xfrm policy " + verb + " src 10." + net + ".0/24 dst 11." + net + ".0/24 dir out " + more;
}

double processor_seconds() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

class KernelMirror : public testing::Test {
 protected:
  // Lines for ip, in one process.
  void ip(const std::vector<std::string>& lines) const {
    {
      std::ofstream file(scratch_.file("batch"));
      for (const std::string& line : lines) file << line << "\n";
    }
    get(netns_.must({"ip", "-batch", scratch_.file("batch")}));
  }
  void ip_each(const std::string& verb, int from, int to, const std::string& more = "") const {
    std::vector<std::string> lines;
    for (int number = from; number < to; ++number) lines.push_back(policy(verb, number, more));
    ip(lines);
  }
  // On a thread inside, as the switches of interfaces are files. `then` gets a followed mirror.
  void follow(std::size_t room, const std::function<void(Mirror&)>& then) {
    netns_.run([&] {
      const auto source = get(KernelSource::open(room));
      Mirror mirror =
          get(Mirror::open(*source, [this](const Change& change) { told_.push_back(change); }));
      then(mirror);
    });
  }
  static void drain(Mirror& mirror) {
    while (get(mirror.follow())) {
    }
  }
  static void audit(Mirror& mirror) {
    get(mirror.begin_audit());
    drain(mirror);
    get(mirror.end_audit());
  }
  // The mirror is what the kernel tells when asked now, in its order.
  static void expect_equal(Mirror& mirror) {
    netlink::Socket socket = get(open_socket());
    const State now = get(read_state(socket));
    const State& state = mirror.state();
    ASSERT_EQ(state.policies.size(), now.policies.size());
    for (std::size_t i = 0; i < now.policies.size(); ++i) {
      ASSERT_TRUE(same(state.policies[i], now.policies[i])) << i;
    }
    EXPECT_EQ(state.defaults, now.defaults);
    EXPECT_EQ(state.interfaces, now.interfaces);
    EXPECT_TRUE(state.sas.empty());
  }
  std::vector<Kind> kinds() const {
    std::vector<Kind> kinds;
    for (const Change& change : told_) kinds.push_back(change.event.kind);
    return kinds;
  }
  // Hard: the policy goes, as at the end of its lifetime.
  static void expire(const Policy& policy) {
    netlink::Socket socket = get(open_socket());
    netlink::Request request(XFRM_MSG_POLEXPIRE, 0);
    auto& wanted = request.fixed<xfrm_user_polexpire>();
    wanted.pol.index = policy.index;
    wanted.pol.dir = static_cast<std::uint8_t>(policy.direction);
    wanted.hard = 1;
    get(socket.tell(std::move(request), "expiring a policy"));
  }

  Netns netns_ = get(Netns::create());
  test::Scratch scratch_ = get(test::Scratch::create());
  std::vector<Change> told_;
};

TEST_F(KernelMirror, FollowsWhateverHappensToPolicies) {
  ip({policy("add", 1), policy("add", 2, "priority 7"), policy("add", 3)});
  follow(KernelSource::usual_room, [&](Mirror& mirror) {
    expect_equal(mirror);
    ip({policy("add", 4, "action block"), policy("update", 1, "priority 0 action block"),
        policy("add", 5, "tmpl proto esp reqid 4 mode transport level use mark 1"),
        policy("delete", 3), "xfrm policy setdefault in block fwd block out accept",
        policy("update", 1)});
    drain(mirror);
    EXPECT_EQ(kinds(), (std::vector{Kind::policy_new, Kind::policy_update, Kind::policy_new,
                                    Kind::policy_delete, Kind::defaults, Kind::policy_update}));
    expect_equal(mirror);
    told_.clear();
    expire(mirror.state().policies.front());
    drain(mirror);
    EXPECT_EQ(kinds(), std::vector{Kind::policy_expire});
    expect_equal(mirror);
    ip({"xfrm policy flush"});
    ip({policy("add", 6)});
    drain(mirror);
    expect_equal(mirror);
    EXPECT_EQ(mirror.state().policies.size(), 1U);
    EXPECT_EQ(mirror.counters().lost, 0U);
    audit(mirror);
    EXPECT_EQ(mirror.counters().repairs, 0U);
  });
}

TEST_F(KernelMirror, KnowsALossAndRepairsIt) {
  follow(a_page, [&](Mirror& mirror) {
    ip_each("add", 0, 300);
    ip_each("delete", 0, 100);
    drain(mirror);
    EXPECT_GE(mirror.counters().lost, 1U);
    EXPECT_GT(mirror.counters().repairs, 100U);
    EXPECT_TRUE(std::ranges::any_of(told_, [](auto& one) { return one.how == How::lost; }));
    EXPECT_EQ(mirror.state().policies.size(), 200U);
    expect_equal(mirror);
  });
}

// 1,000 events a second are asked for; these come as fast as ip can make them.
TEST_F(KernelMirror, LosesNothingOfThousandsAtOnce) {
  constexpr int there = 8000;
  constexpr int events = 4000;
  ip_each("add", 0, there);
  follow(KernelSource::usual_room, [&](Mirror& mirror) {
    ip_each("add", there, there + events);
    const double begun = processor_seconds();
    drain(mirror);
    const double used = processor_seconds() - begun;
    EXPECT_EQ(mirror.counters().events, static_cast<std::uint64_t>(events));
    EXPECT_EQ(mirror.counters().lost, 0U);
    RecordProperty("microseconds_per_event", std::to_string(used * 1e6 / events));
    EXPECT_LT(used / events, 1e-3) << "more than a second for 1,000 events";
    expect_equal(mirror);
  });
}

TEST_F(KernelMirror, AnAuditFindsPoliciesOfSocketsAndSwitches) {
  follow(KernelSource::usual_room, [&](Mirror& mirror) {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    xfrm_userpolicy_info bypass{};
    bypass.sel.family = AF_INET;
    bypass.dir = XFRM_POLICY_OUT;
    bypass.lft = {XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF, 0, 0, 0, 0};
    ASSERT_EQ(setsockopt(socket.get(), IPPROTO_IP, IP_XFRM_POLICY, &bypass, sizeof(bypass)), 0);
    get(netns_.write_sysctl("net/ipv4/conf/all/disable_policy", "1"));
    drain(mirror);
    EXPECT_TRUE(told_.empty()) << "this kernel tells of them";
    audit(mirror);
    ASSERT_EQ(told_.size(), 2U);
    EXPECT_EQ(told_[0].event.policy->direction, Direction::socket_out);
    EXPECT_EQ(told_[1].interface->name, "all");
    EXPECT_TRUE(told_[1].interface->disable_policy);
    expect_equal(mirror);
  });
}

}  // namespace
}  // namespace cs::xfrm
