// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's watch over this machine's kernel, in a namespace of its own: policies, drift, measure
// and gate. SAs are the lab's (tests/lab/test_keymsd_kernel.py).
#include "keyms/daemon/kernel_watch.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "keyms/carrier/sockets.h"
#include "keyms/daemon/own_socket.h"
#include "tests/netns/environment.h"
#include "tests/support/unwrap.h"
#include "tests/unit/kernel_policies.h"
#include "xfrm/install/bypass.h"

namespace cs::keyms {
namespace {

using test::address;
using test::get;
using test::Netns;
using test::policy_with;
using xfrm::Code;
using xfrm::Difference;
using xfrm::GateWay;
using xfrm::Opening;
using xfrm::Passage;

class Told final : public KernelHost {
 public:
  void on_drift(const std::set<Difference>& all) override { drifts.push_back(all); }
  void on_measured(const Hash& policies) override { measured.push_back(policies); }
  void say(const std::string& peer, const Sealed& /*message*/) override { said.push_back(peer); }
  void disagree(const std::string& /*peer*/, const std::string& sentence) override {
    disagreements.push_back(sentence);
  }
  void trouble(const Error& error) override { troubles.push_back(error.message()); }

  [[nodiscard]] bool has(Code code) const {
    return !drifts.empty() && std::ranges::any_of(drifts.back(), [&](const Difference& one) {
      return one.code == code;
    });
  }
  [[nodiscard]] bool has_trouble(const std::string& words) const {
    return std::ranges::any_of(
        troubles, [&](const std::string& one) { return one.find(words) != std::string::npos; });
  }

  std::vector<std::set<Difference>> drifts;
  std::vector<Hash> measured;
  std::vector<std::string> said, disagreements, troubles;
};

class KernelWatched : public testing::Test {
 protected:
  // On a thread inside.
  void inside(const std::function<void()>& test) const {
    netns_.run([&] {
      test();
      return 0;
    });
  }
  std::unique_ptr<KernelWatch> open(const std::vector<CorePolicy>& policies) {
    KernelOptions options;
    options.us = "berlin-1";
    options.gate.held_queue = 7;
    options.audit_interval = std::chrono::seconds(1);
    options.own_bypasses = [this] { return own_.bypasses(); };
    options.vici_socket = vici_socket_;
    return get(KernelWatch::open(told_, clock_, options, policies));
  }
  // Turns of the loop until it is so.
  [[nodiscard]] bool comes(KernelWatch& watch, const std::function<bool()>& so) const {
    Loop loop(clock_);
    loop.add(watch);
    const BootTime until = clock_.boot() + std::chrono::seconds(8);
    while (!so() && clock_.boot() < until) get(loop.turn());
    return so();
  }
  void ip(const std::string& words) const { get(netns_.must({"sh", "-c", "ip xfrm " + words})); }
  // Those of the tunnel with the peer at 192.0.2.`number`.
  void add_policies(const std::string& number) const {
    const std::string here = "10.1.0.0/16";
    const std::string there = "10." + number + ".0.0/16";
    const std::string out = " tmpl src 192.0.2.1 dst 192.0.2." + number + " proto esp mode tunnel";
    const std::string back = " tmpl src 192.0.2." + number + " dst 192.0.2.1 proto esp mode tunnel";
    ip("policy add src " + here + " dst " + there + " dir out" + out);
    ip("policy add src " + there + " dst " + here + " dir in" + back);
    ip("policy add src " + there + " dst " + here + " dir fwd" + back);
  }
  static Opening opening(KernelWatch& watch, const std::string& peer) {
    for (const auto& one : get(watch.look_at_gate()).peers) {
      if (one.name == peer) return one.opening;
    }
    throw std::runtime_error("no such peer");
  }

  SystemClock clock_;
  Netns netns_ = get(Netns::create());
  Told told_;
  OwnSockets own_;
  std::string vici_socket_;
};

TEST_F(KernelWatched, DriftIsToldAsAWholeAndTheKernelMeasured) {
  inside([&] {
    const auto watch = open({policy_with("hamburg-1", 2)});
    ASSERT_TRUE(comes(*watch, [&] { return told_.has(Code::policy_missing); }));
    ASSERT_EQ(told_.measured.size(), 1U);
    add_policies("2");
    ASSERT_TRUE(comes(*watch, [&] { return !told_.has(Code::policy_missing); }));
    for (const Difference& one : told_.drifts.back()) {
      EXPECT_EQ(one.code, Code::sa_missing) << one.sentence;
      EXPECT_EQ(one.tunnel, "hamburg-1/office");
    }
    EXPECT_NE(told_.measured.back(), told_.measured.front());
    const Hash as_agreed = told_.measured.back();
    ip("policy add src 10.1.0.2/32 dst 10.2.0.2/32 dir out");
    ASSERT_TRUE(comes(*watch, [&] { return told_.has(Code::policy_bypass); }));
    EXPECT_NE(told_.measured.back(), as_agreed);
    ip("policy delete src 10.1.0.2/32 dst 10.2.0.2/32 dir out");
    ASSERT_TRUE(comes(*watch, [&] { return !told_.has(Code::policy_bypass); }));
    EXPECT_EQ(told_.measured.back(), as_agreed);
    EXPECT_TRUE(told_.troubles.empty()) << told_.troubles.front();
  });
}

TEST_F(KernelWatched, OtherPoliciesCloseNothingThatIsGranted) {
  inside([&] {
    const CorePolicy hamburg = policy_with("hamburg-1", 2);
    add_policies("2");
    const auto watch = open({hamburg});
    EXPECT_EQ(opening(*watch, "hamburg-1"), Opening::closed);
    watch->stand("hamburg-1", Standing::granted);
    watch->begin_sas("hamburg-1", test::hash_of(1), Role::initiator);
    ASSERT_TRUE(comes(*watch, [&] { return !told_.drifts.empty(); }));
    EXPECT_EQ(opening(*watch, "hamburg-1"), Opening::listed);
    EXPECT_FALSE(told_.has(Code::policy_missing));

    get(watch->set_policies({hamburg, policy_with("aachen-1", 3)}));
    EXPECT_EQ(opening(*watch, "hamburg-1"), Opening::listed);
    EXPECT_EQ(opening(*watch, "aachen-1"), Opening::closed);
    EXPECT_TRUE(watch->view().pairs.at("hamburg-1").in_session);
    ASSERT_TRUE(comes(*watch, [&] { return told_.has(Code::policy_missing); }))
        << "judged again, without any event";
    const Difference missing =
        *std::ranges::find(told_.drifts.back(), Code::policy_missing, &Difference::code);
    EXPECT_EQ(watch->agreements().peer_of(missing.tunnel), "aachen-1");

    CorePolicy nowhere = policy_with("rostock-1", 4);
    nowhere.gateways[1].addresses.clear();
    nowhere.agreement.tunnels[0].ends[1].address.reset();
    EXPECT_FALSE(watch->set_policies({hamburg, nowhere}).ok());
    EXPECT_EQ(opening(*watch, "aachen-1"), Opening::closed) << "all is as it was";
    EXPECT_EQ(opening(*watch, "hamburg-1"), Opening::listed);

    get(watch->set_policies({policy_with("aachen-1", 3)}));
    EXPECT_EQ(watch->view().pairs.count("hamburg-1"), 0U);
    watch->stand("hamburg-1", Standing::granted);  // passed over
    EXPECT_EQ(get(watch->look_at_gate()).peers.size(), 1U);
  });
}

TEST_F(KernelWatched, WhatStandsIsWhatTheGateDoes) {
  inside([&] {
    const auto watch = open({policy_with("hamburg-1", 2)});
    for (const auto& [standing, as] : {std::pair(Standing::granted, Opening::listed),
                                       {Standing::closed, Opening::closed},
                                       {Standing::reported, Opening::listed},
                                       {Standing::restricted, Opening::listed},
                                       {Standing::closed, Opening::closed}}) {
      watch->stand("hamburg-1", standing);
      EXPECT_EQ(opening(*watch, "hamburg-1"), as) << to_string(standing);
    }
  });
}

TEST_F(KernelWatched, TheNextDaemonBeginsClosed) {
  inside([&] {
    open({policy_with("hamburg-1", 2)})->stand("hamburg-1", Standing::granted);
    const auto next = open({policy_with("hamburg-1", 2)});
    EXPECT_EQ(opening(*next, "hamburg-1"), Opening::closed);
  });
}

TEST_F(KernelWatched, AGateTakenAwayComesBackAsItStood) {
  inside([&] {
    const auto watch = open({policy_with("hamburg-1", 2), policy_with("aachen-1", 3)});
    watch->stand("hamburg-1", Standing::granted);
    get(netns_.must({"nft", "flush", "ruleset"}));
    ASSERT_TRUE(comes(*watch, [&] { return told_.has_trouble("took the gate away"); }));
    EXPECT_TRUE(get(watch->look_at_gate()).complete);
    EXPECT_EQ(watch->view().gate_lost, 1U);
    EXPECT_EQ(opening(*watch, "hamburg-1"), Opening::listed);
    EXPECT_EQ(opening(*watch, "aachen-1"), Opening::closed);
  });
}

TEST_F(KernelWatched, OwnSocketsAreNoDriftAndOthersAre) {
  inside([&] {
    add_policies("2");
    const auto watch = open({policy_with("hamburg-1", 2)});
    UniqueFd listens =
        get(carrier::listen_for_peers({address("127.0.0.1"), 4739}, carrier::BesideIpsec::yes));
    get(own_.add_listener(listens.get()));
    const auto audits = [&] { return watch->view().mirror.audits; };
    const auto before = audits();
    ASSERT_TRUE(comes(*watch, [&] { return audits() > before + 1; }));
    EXPECT_FALSE(told_.has(Code::socket_bypass));
    listens.reset();  // what was ours is nobody else's now
    const auto closed = audits();
    ASSERT_TRUE(comes(*watch, [&] { return audits() > closed + 1; }));
    UniqueFd other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    get(xfrm::bypass_xfrm(other.get()));
    ASSERT_TRUE(comes(*watch, [&] { return told_.has(Code::socket_bypass); }));
    other.reset();
    ASSERT_TRUE(comes(*watch, [&] { return !told_.has(Code::socket_bypass); }));
  });
}

TEST_F(KernelWatched, AnIkeDaemonThatIsNotThereHoldsNothingUp) {
  vici_socket_ = "/nonexistent/vici";
  inside([&] {
    const auto watch = open({policy_with("hamburg-1", 2)});
    watch->stand("hamburg-1", Standing::granted);
    watch->stand("hamburg-1", Standing::closed);
    EXPECT_EQ(opening(*watch, "hamburg-1"), Opening::closed);
    ASSERT_TRUE(comes(*watch, [&] { return told_.has_trouble("ending the IKE SAs"); }));
  });
}

class GateKept : public KernelWatched {
 protected:
  std::unique_ptr<GateKeeper> set_up() {
    xfrm::GateConfig config;
    config.peers = peers("hamburg-1", "aachen-1");
    return get(GateKeeper::set_up(config, {}, clock_,
                                  [this](const Error& error) { told_.trouble(error); }));
  }
  static std::vector<xfrm::GatePeer> peers(const std::string& first, const std::string& second) {
    return {{.name = first, .addresses = {address("192.0.2.2")}},
            {.name = second, .addresses = {address("192.0.2.3")}}};
  }
  static std::vector<Passage> passages(std::uint32_t count) {
    std::vector<Passage> all;
    for (std::uint32_t spi = 1; spi <= count; ++spi)
      all.push_back({GateWay::out, address("192.0.2.2"), IPPROTO_ESP, 0x1000 + spi});
    return all;
  }
  static std::size_t passing(const GateKeeper& keeper, const std::string& peer) {
    for (const auto& one : get(keeper.look()).peers) {
      if (one.name == peer) return one.opening == Opening::listed ? one.passages.size() : 0;
    }
    return 0;
  }
};

TEST_F(GateKept, WhatIsAdmittedPassesThroughChanges) {
  inside([&] {
    const auto keeper = set_up();
    keeper->admit("hamburg-1", passages(3));
    EXPECT_EQ(passing(*keeper, "hamburg-1"), 0U) << "it is not open";
    keeper->open("hamburg-1");
    keeper->admit("hamburg-1", passages(3));
    get(keeper->change(peers("hamburg-1", "rostock-1")));
    EXPECT_EQ(passing(*keeper, "hamburg-1"), 3U);
    keeper->withdraw("hamburg-1", {passages(1)});
    EXPECT_EQ(passing(*keeper, "hamburg-1"), 2U);
    keeper->close("hamburg-1");
    keeper->open("hamburg-1");
    EXPECT_EQ(passing(*keeper, "hamburg-1"), 0U) << "closing forgets";
    EXPECT_TRUE(told_.troubles.empty()) << told_.troubles.front();
  });
}

TEST_F(GateKept, ManyAtOnceAreOneTransaction) {
  inside([&] {
    const auto keeper = set_up();
    keeper->open("hamburg-1");
    keeper->admit("hamburg-1", passages(200));
    EXPECT_EQ(passing(*keeper, "hamburg-1"), 200U);
    auto all_but_one = passages(200);
    all_but_one.pop_back();
    keeper->withdraw("hamburg-1", all_but_one);
    EXPECT_EQ(passing(*keeper, "hamburg-1"), 1U);
  });
}

TEST_F(GateKept, WhatOnlyFailedOnceIsMadeUpFor) {
  inside([&] {
    const auto keeper = set_up();
    keeper->open("hamburg-1");
    const Netns elsewhere = get(Netns::create());
    elsewhere.run([&] {
      keeper->admit("hamburg-1", passages(1));
      return 0;
    });
    EXPECT_TRUE(told_.has_trouble("changing the gate"));
    EXPECT_TRUE(get(keeper->look()).complete);
    EXPECT_EQ(passing(*keeper, "hamburg-1"), 0U);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    keeper->run();
    EXPECT_EQ(passing(*keeper, "hamburg-1"), 1U);
  });
}

TEST_F(GateKept, WhatTheKernelDidNotTakeIsMadeSo) {
  inside([&] {
    const auto keeper = set_up();
    keeper->open("hamburg-1");
    get(netns_.must({"nft", "delete", "table", "inet", "countersign_gate"}));
    keeper->admit("hamburg-1", passages(1));
    EXPECT_TRUE(told_.has_trouble("changing the gate"));
    const BootTime until = clock_.boot() + std::chrono::seconds(5);
    while (clock_.boot() < until) {
      keeper->run();
      const auto view = keeper->look();
      if (view.ok() && view->complete) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    EXPECT_EQ(passing(*keeper, "hamburg-1"), 1U);
  });
}

}  // namespace
}  // namespace cs::keyms
