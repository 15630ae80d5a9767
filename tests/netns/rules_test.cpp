// SPDX-License-Identifier: GPL-3.0-or-later
// The rules with packets: which ones are steered to the queue, and which are left alone.
//
// Without a listener a steered packet is dropped, so what does not come out behind the rules was
// steered. That is how both languages are tried; where the kernel's nftables has no queue, `drop`
// stands in its place. A packet that no rule means follows each one, so that nobody waits for
// silence.
#include "nfq-signer/rules.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "nfq-signer/rules_apply.h"
#include "tests/netns/environment.h"
#include "tests/netns/rules_packets.h"
#include "tests/support/require.h"
#include "tests/support/unwrap.h"

namespace cs::test {
namespace {

constexpr int kBehind = 20;  // the queue that shows what came through

enum class Way : std::uint8_t { iptables, legacy, nft };

std::string_view name_of(Way way) {
  return way == Way::iptables ? "iptables" : way == Way::legacy ? "legacy" : "nft";
}

Result<void> load(std::vector<std::string> argv, const std::string& text) {
  const UniqueFd here(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  CS_TRY(const Outcome done, run({argv, text, here.get()}));
  if (done.exit_code == 0) return {};
  return Error(ErrorKind::io, argv.front() + ": " + done.output);
}

// With what this kernel may lack replaced: no packet passes `queue` without a listener.
Result<void> load_nft_with_drop(const RuleOptions& options) {
  std::string text = nft_rules(options);
  for (std::size_t at = text.find("queue to "); at != std::string_view::npos;
       at = text.find("queue to ", at)) {
    text.replace(at, text.find('\n', at) - at, "drop");
  }
  return load({"nft", "-f", "-"}, text);
}

// By the older iptables, whose -p and -m are the kernel's own and not translated.
Result<void> load_legacy(const std::string& text) {
  CS_CHECK(load({"iptables-legacy-restore", "--noflush"}, text));
  return load({"ip6tables-legacy-restore", "--noflush"}, text);
}

// The case of a test that runs once per language and family.
struct Case {
  Way way;
  Family family;
};

// a: sender -> [outbound rules] -> left ---- right -> capture, [inbound rules] -> queue 20 :b
class Rules : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() { require::programs({"nft"}); }
  void SetUp() override {
    if (GetParam().way != Way::legacy) return;
    const Netns scratch = get(Netns::create());
    const auto can = scratch.run([] { return load_legacy(iptables_trial({})); });
    if (!can.ok()) GTEST_SKIP() << can.error().message();
  }

  Rules()
      : pair_(get(make_pair())),
        packets_(GetParam().family, kAddressesA.at(index()), kAddressesB.at(index())),
        capture_(get(pair_.b.run([] { return Capture::open("right", kAllProtocols); }))) {}

  static std::size_t index() { return GetParam().family == Family::v4 ? 0 : 1; }
  static bool is_v6() { return GetParam().family == Family::v6; }

  static void apply(const Netns& netns, const RuleOptions& options = {}) {
    get(netns.run([&] {
      switch (GetParam().way) {
        case Way::nft:
          return load_nft_with_drop(options);
        case Way::legacy:
          return load_legacy(iptables_rules(options));
        case Way::iptables:
          break;
      }
      return apply_rules(RuleKind::iptables, options);
    }));
  }
  static void remove(const Netns& netns) {
    get(netns.run([&] {
      switch (GetParam().way) {
        case Way::nft:
          return remove_rules(RuleKind::nft, {});
        case Way::legacy:
          return load_legacy(iptables_removal(iptables_rules({})));
        case Way::iptables:
          break;
      }
      return remove_rules(RuleKind::iptables, {});
    }));
  }

  [[nodiscard]] static PacketSender sender(const Netns& netns,
                                           std::optional<std::uint32_t> mark = {}) {
    return get(netns.run([&] { return PacketSender::open(mark); }));
  }

  // Whether the outbound rules of `a` kept it from the wire.
  [[nodiscard]] bool is_steered_out(const Bytes& packet, std::optional<std::uint32_t> mark = {}) {
    // `drop` tells the sender with EPERM, a queue without listener does not.
    const Result<void> sent = sender(pair_.a, mark).send(packet);
    if (!sent.ok() && sent.error().os_error() != EPERM) get(sent);
    get(sender(pair_.a).send(packets_.last()));
    bool came = false;
    for (;;) {
      const auto seen = get(capture_.receive(kPatience));
      if (!seen) throw std::runtime_error("not even the packet after it came");
      if (seen->bytes == packets_.last()) return !came;
      came |= seen->bytes == packet;
    }
  }

  // Shows what comes through b's input hook, behind the rules.
  void watch_input() {
    for (const char* protocol : {"esp", "udp", "tcp", "253"}) {
      get(pair_.b.must({iptables(GetParam().family), "-A", "INPUT", "-p", protocol, "-j", "NFQUEUE",
                        "--queue-num", std::to_string(kBehind)}));
    }
    std::vector<std::string> ah{iptables(GetParam().family), "-A", "INPUT"};
    for (const char* word : {is_v6() ? "-m" : "-p", "ah", "-j", "NFQUEUE", "--queue-num", "20"}) {
      ah.emplace_back(word);
    }
    get(pair_.b.must(std::move(ah)));
    behind_ = get(pair_.b.run([] { return NfQueue::open({.number = kBehind}); }));
  }

  // Whether the inbound rules of `b` kept it.
  [[nodiscard]] bool is_steered_in(const Bytes& packet) {
    if (!behind_) watch_input();
    const PacketSender from = sender(pair_.a);
    get(from.send(packet));
    get(from.send(packets_.last()));
    bool came = false;
    bool over = false;
    while (!over) {
      const auto end = get(behind_->poll(kPatience, [&](const QueuedPacket& p) {
        const Bytes seen(p.payload.begin(), p.payload.end());
        came |= seen == packet;
        over |= seen == packets_.last();
        return Verdict::drop();
      }));
      if (end != NfQueue::End::handled) throw std::runtime_error("not even the last packet came");
    }
    return !came;
  }

  Pair pair_;
  IpsecPackets packets_;
  Capture capture_;
  std::optional<NfQueue> behind_;
};

TEST_P(Rules, WhatIsSteeredOut) {
  for (const auto& [name, packet] : packets_.signed_ones(Side::source)) {
    EXPECT_FALSE(is_steered_out(packet)) << name << " is dropped without rules";
  }
  apply(pair_.a);
  for (const auto& [name, packet] : packets_.signed_ones(Side::source)) {
    EXPECT_TRUE(is_steered_out(packet)) << name;
  }
}

TEST_P(Rules, WhatIsLeftAloneOnTheWayOut) {
  apply(pair_.a);
  for (const auto& [name, packet] : packets_.foreign_ones(Side::source)) {
    EXPECT_FALSE(is_steered_out(packet)) << name;
  }
}

TEST_P(Rules, WhatIsSteeredIn) {
  for (const auto& [name, packet] : packets_.signed_ones(Side::target)) {
    EXPECT_FALSE(is_steered_in(packet)) << name << " is dropped without rules";
  }
  apply(pair_.b);
  for (const auto& [name, packet] : packets_.signed_ones(Side::target)) {
    EXPECT_TRUE(is_steered_in(packet)) << name;
  }
}

TEST_P(Rules, WhatIsLeftAloneOnTheWayIn) {
  apply(pair_.b);
  for (const auto& [name, packet] : packets_.foreign_ones(Side::target)) {
    EXPECT_FALSE(is_steered_in(packet)) << name;
  }
}

TEST_P(Rules, OtherPortsAreSteeredWhenTheyAreOurs) {
  apply(pair_.a, {.udp_ports = {4500, 10000}});
  EXPECT_TRUE(is_steered_out(packets_.udp_esp(10000, 4500)));
  EXPECT_TRUE(is_steered_out(packets_.udp_esp(4500, 10000)));
  EXPECT_FALSE(is_steered_out(packets_.udp_esp(10001, 4500)));
}

TEST_P(Rules, OfTheTranslatorsUdpAllThatComesInIsSteeredAndNothingThatLeaves) {
  for (const std::uint16_t queues : {std::uint16_t{1}, std::uint16_t{3}}) {
    const RuleOptions options{.queues = queues, .translator_port = 4510};
    apply(pair_.a, options);
    apply(pair_.b, options);
    EXPECT_FALSE(is_steered_out(packets_.udp_esp(4510, 4510)));
    EXPECT_TRUE(is_steered_in(packets_.udp_esp(4510, 4510)));
    EXPECT_TRUE(is_steered_in(packets_.udp_esp(33333, 4510)));
    EXPECT_FALSE(is_steered_in(packets_.udp_esp(4510, 33333)));
  }
}

TEST_P(Rules, WithSeveralQueuesNothingPassesEither) {
  apply(pair_.a, {.queues = 3});
  for (const auto& [name, packet] : packets_.signed_ones(Side::source)) {
    EXPECT_TRUE(is_steered_out(packet)) << name;
  }
}

// What the signer has marked does not come to it again.
TEST_P(Rules, SignedLeaves) {
  apply(pair_.a);
  EXPECT_FALSE(is_steered_out(packets_.esp(), Marks().after_signing(0)));
  EXPECT_FALSE(is_steered_out(packets_.esp(), Marks().after_signing(0xab000001)));
  EXPECT_TRUE(is_steered_out(packets_.esp(), Marks().verified(0))) << "verified, not signed";
  EXPECT_TRUE(is_steered_out(packets_.esp(), Marks().outbound_mark));
}

// IPsec of a host behind us passes; of ours there may be addresses that are not local, as in a
// VRF, but then the SA's output mark tells.
TEST_P(Rules, OfOthersOnlyWhatHasTheOutputMark) {
  apply(pair_.a);
  const IpsecPackets others(GetParam().family, is_v6() ? "2001:db8::77" : "192.0.2.77",
                            kAddressesB.at(index()));
  EXPECT_FALSE(is_steered_out(others.esp()));
  EXPECT_FALSE(is_steered_out(others.udp_esp(4500, 4500)));
  EXPECT_TRUE(is_steered_out(others.esp(), Marks().outbound_mark));
  EXPECT_TRUE(is_steered_out(others.esp(), Marks().outbound_mark | 0xab000000));
}

// Else a mark restored from the connection would count as a verdict.
TEST_P(Rules, AMarkItComesWithSavesNothingOnTheWayIn) {
  apply(pair_.b);
  for (const char* mark : {"0x10000", "0x30000", "0xffffffff"}) {
    get(change_mangle(pair_.b, GetParam().family,
                      {"-I", "PREROUTING", "-j", "MARK", "--set-mark", mark}));
    EXPECT_TRUE(is_steered_in(packets_.esp())) << mark;
  }
}

TEST_P(Rules, RemovedNothingIsSteered) {
  apply(pair_.a);
  EXPECT_TRUE(is_steered_out(packets_.esp()));
  remove(pair_.a);
  EXPECT_FALSE(is_steered_out(packets_.esp()));
}

INSTANTIATE_TEST_SUITE_P(All, Rules,
                         testing::Values(Case{Way::iptables, Family::v4},
                                         Case{Way::iptables, Family::v6},
                                         Case{Way::legacy, Family::v4},
                                         Case{Way::legacy, Family::v6}, Case{Way::nft, Family::v4},
                                         Case{Way::nft, Family::v6}),
                         [](const auto& test) {
                           return std::string(name_of(test.param.way)) +
                                  (test.param.family == Family::v4 ? "_v4" : "_v6");
                         });

}  // namespace
}  // namespace cs::test
