// SPDX-License-Identifier: GPL-3.0-or-later
// The rules with a listener on their queue, and beside other people's rules.
#include "nfq-signer/rules_apply.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/netns/environment.h"
#include "tests/netns/rules_packets.h"
#include "tests/support/unwrap.h"
#include "xfrm/command.h"

namespace cs::test {
namespace {

constexpr std::uint16_t kOutQueue = 100;
constexpr std::uint16_t kQueue = 101;  // inbound
constexpr Marks kMarks;

NfQueue open_queue(const Netns& netns, std::uint16_t number = kQueue) {
  return get(netns.run([&] { return NfQueue::open({.number = number}); }));
}

std::string message_of(const Result<void>& result) {
  return result.ok() ? "" : result.error().message();
}

bool stands(const Netns& netns, RuleKind kind, const RuleOptions& options = {}) {
  return get(netns.run([&] { return rules_in_place(kind, options); }));
}

// a: [outbound] -> left ---- right -> [inbound] -> receiver :b
class Steered : public testing::TestWithParam<Family> {
 protected:
  Steered()
      : pair_(get(make_pair())),
        packets_(GetParam(), kAddressesA.at(index()), kAddressesB.at(index())),
        sender_(get(pair_.a.run([] { return PacketSender::open(); }))),
        receiver_(get(pair_.b.run([] { return RawReceiver::open(GetParam()); }))) {}

  static std::size_t index() { return GetParam() == Family::v4 ? 0 : 1; }

  static void apply(const Netns& netns, const RuleOptions& options = {}) {
    get(netns.run([&] { return apply_rules(RuleKind::iptables, options); }));
  }
  void expect_received(const Bytes& sent) const {
    const auto got = get(receiver_.receive(kPatience));
    ASSERT_TRUE(got) << "nothing arrived";
    EXPECT_EQ(*got, RawReceiver::form_of(sent));
  }

  Pair pair_;
  IpsecPackets packets_;
  PacketSender sender_;
  RawReceiver receiver_;
};

// The engine's way, applied twice on both sides: each packet is asked for once, at its hook.
TEST_P(Steered, OutAndInOnceEach) {
  constexpr std::uint8_t local_in = 1;
  constexpr std::uint8_t post_routing = 4;
  for (const Netns* netns : {&pair_.a, &pair_.b}) {
    apply(*netns);
    apply(*netns);
  }
  std::atomic<std::uint8_t> hook_out = 0;
  std::atomic<std::uint8_t> hook_in = 0;
  QueueThread signer(open_queue(pair_.a, kOutQueue), [&](const QueuedPacket& p) {
    hook_out = p.hook;
    return Verdict{Verdict::Kind::accept, std::nullopt, kMarks.after_signing(p.mark)};
  });
  QueueThread verifier(open_queue(pair_.b), [&](const QueuedPacket& p) {
    hook_in = p.hook;
    return Verdict{Verdict::Kind::accept, std::nullopt, kMarks.verified(p.mark)};
  });
  get(sender_.send(packets_.esp()));
  expect_received(packets_.esp());
  EXPECT_EQ(get(signer.stop()).handled, 1U);
  EXPECT_EQ(get(verifier.stop()).handled, 1U);
  EXPECT_EQ(hook_out, post_routing);
  EXPECT_EQ(hook_in, local_in);
}

TEST_P(Steered, OurBitsOfAMarkAreClearedOnTheWayInAndNoOthers) {
  apply(pair_.b);
  get(change_mangle(pair_.b, GetParam(),
                    {"-I", "PREROUTING", "-j", "MARK", "--set-mark", "0xffffffff"}));
  NfQueue queue = open_queue(pair_.b);
  get(sender_.send(packets_.esp()));
  std::uint32_t mark = 0;
  get(queue.poll(kPatience, [&](const QueuedPacket& p) {
    mark = p.mark;
    return Verdict::drop();
  }));
  EXPECT_EQ(mark, 0xffffffffU & ~kMarks.inbound_mask);
}

TEST_P(Steered, FragmentsAreWholeInTheQueue) {
  apply(pair_.b);
  const Bytes whole = esp_packet(
      {.source = kAddressesA.at(index()), .target = kAddressesB.at(index()), .body = 400});
  NfQueue queue = open_queue(pair_.b);
  for (const Bytes& piece : fragment(whole, 200)) get(sender_.send(piece));
  Bytes queued;
  get(queue.poll(kPatience, [&](const QueuedPacket& p) {
    queued.assign(p.payload.begin(), p.payload.end());
    return Verdict::drop();
  }));
  EXPECT_EQ(queued, whole);
}

TEST_P(Steered, SeveralQueuesAreThoseAskedFor) {
  apply(pair_.b, {.first_queue = 7, .queues = 2});
  std::atomic<int> handled = 0;
  const auto accept = [&](const QueuedPacket&) {
    ++handled;
    return Verdict::accept();
  };
  const QueueThread first(open_queue(pair_.b, 9), accept);
  const QueueThread second(open_queue(pair_.b, 10), accept);
  get(sender_.send(packets_.esp()));
  expect_received(packets_.esp());
  EXPECT_EQ(handled, 1);
}

INSTANTIATE_TEST_SUITE_P(Families, Steered, testing::Values(Family::v4, Family::v6),
                         [](const auto& test) { return test.param == Family::v4 ? "v4" : "v6"; });

// What iptables-save and ip6tables-save say, without counters and dates.
std::string mangle(const Netns& netns) {
  const auto saved =
      get(netns.command({"sh", "-c",
                         "for f in iptables ip6tables; do $f-save -t mangle | grep '^[-:*]' | "
                         "sed 's/ \\[.*//'; done"}));
  return saved.output;
}

class RulesBeside : public testing::Test {
 protected:
  RulesBeside() : netns_(get(Netns::create())) {}

  Result<void> apply(RuleKind kind, const RuleOptions& options = {}) const {
    return netns_.run([&] { return apply_rules(kind, options); });
  }
  Result<void> remove(RuleKind kind, const RuleOptions& options = {}) const {
    return netns_.run([&] { return remove_rules(kind, options); });
  }
  // The operator's: a chain of their own, and rules in the chains ours jump from.
  void make_others() const {
    for (const Family family : {Family::v4, Family::v6}) {
      get(change_mangle(netns_, family, {"-N", "OPERATOR"}));
      get(change_mangle(netns_, family, {"-A", "OPERATOR", "-p", "esp", "-j", "ACCEPT"}));
      for (const char* chain : {"INPUT", "POSTROUTING"}) {
        get(change_mangle(netns_, family, {"-A", chain, "-j", "OPERATOR"}));
      }
    }
  }

  Netns netns_;
};

TEST_F(RulesBeside, RemovingRestoresWhatWasThere) {
  make_others();
  const std::string before = mangle(netns_);
  get(remove(RuleKind::iptables));
  EXPECT_EQ(mangle(netns_), before);
  get(apply(RuleKind::iptables));
  get(apply(RuleKind::iptables, {.first_queue = 5, .queues = 3}));
  EXPECT_NE(mangle(netns_), before);
  get(remove(RuleKind::iptables));
  EXPECT_EQ(mangle(netns_), before);
}

TEST_F(RulesBeside, OursComeBeforeAnAcceptOfOthers) {
  get(apply(RuleKind::iptables));
  for (const Family family : {Family::v4, Family::v6}) {
    get(change_mangle(netns_, family, {"-I", "INPUT", "-j", "ACCEPT"}));
    get(change_mangle(netns_, family, {"-I", "POSTROUTING", "-j", "ACCEPT"}));
  }
  get(apply(RuleKind::iptables));
  const std::string text = mangle(netns_);
  EXPECT_LT(text.find("-A INPUT -j COUNTERSIGN_IN"), text.find("-A INPUT -j ACCEPT")) << text;
  EXPECT_LT(text.find("--pol none -j COUNTERSIGN_OUT"), text.find("-A POSTROUTING -j ACCEPT"));
}

TEST_F(RulesBeside, TryingLeavesNothing) {
  make_others();
  const std::string before = mangle(netns_);
  get(netns_.run([] { return try_rules(RuleKind::iptables, {}); }));
  EXPECT_EQ(mangle(netns_), before);
}

TEST_F(RulesBeside, InPlaceIsToldAndMissedInEitherFamily) {
  EXPECT_FALSE(stands(netns_, RuleKind::iptables));
  get(apply(RuleKind::iptables));
  EXPECT_TRUE(stands(netns_, RuleKind::iptables));
  get(netns_.must({"ip6tables", "-t", "mangle", "-F", "INPUT"}));
  EXPECT_FALSE(stands(netns_, RuleKind::iptables));
  get(apply(RuleKind::iptables));
  get(netns_.must({"iptables", "-t", "mangle", "-F", "POSTROUTING"}));
  EXPECT_FALSE(stands(netns_, RuleKind::iptables));
}

TEST_F(RulesBeside, OneWayOfSteeringAtATime) {
  get(netns_.must({"nft", "add", "table", "inet", "countersign"}));
  for (const char* hook : {"outbound { type filter hook postrouting priority 99; }",
                           "inbound { type filter hook input priority -300; }"}) {
    get(netns_.must({"nft", "add chain inet countersign " + std::string(hook)}));
  }
  EXPECT_TRUE(stands(netns_, RuleKind::nft));
  const std::string message = message_of(apply(RuleKind::iptables));
  EXPECT_NE(message.find("already by nft; remove those first"), std::string::npos) << message;
  get(remove(RuleKind::nft));
  EXPECT_FALSE(stands(netns_, RuleKind::nft));
  get(remove(RuleKind::nft));
  get(apply(RuleKind::iptables));
  const std::string other = message_of(apply(RuleKind::nft));
  EXPECT_NE(other.find("already by iptables; remove those first"), std::string::npos) << other;
  get(netns_.must({"ip6tables", "-t", "mangle", "-F", "INPUT"}));
  EXPECT_FALSE(apply(RuleKind::nft).ok()) << "one family is still hooked in";
}

TEST_F(RulesBeside, OptionsAreCheckedBeforeAnythingChanges) {
  for (const RuleKind kind : all_rule_kinds) {
    EXPECT_FALSE(apply(kind, {.queues = 0}).ok()) << to_string(kind);
    EXPECT_FALSE(remove(kind, {.queues = 0}).ok()) << to_string(kind);
  }
  EXPECT_EQ(mangle(netns_).find("COUNTERSIGN"), std::string::npos);
}

TEST_F(RulesBeside, TcWantsInterfacesThatAreThere) {
  const std::string none = message_of(apply(RuleKind::tc));
  EXPECT_NE(none.find("no interface to guard"), std::string::npos) << none;
  const RuleOptions wrong{.egress_interfaces = {"lo", "nowhere0"}};
  const std::string message = message_of(apply(RuleKind::tc, wrong));
  EXPECT_NE(message.find("there is no interface nowhere0"), std::string::npos) << message;
  get(remove(RuleKind::tc, wrong));
  EXPECT_FALSE(stands(netns_, RuleKind::tc, wrong));
  EXPECT_FALSE(stands(netns_, RuleKind::tc)) << "no interface is guarded";
}

// Kernels without the classifier are common in containers: then the error has to say so.
TEST_F(RulesBeside, TcGuardsOrSaysWhatIsMissing) {
  const RuleOptions lo{.egress_interfaces = {"lo"}};
  const Result<void> applied = apply(RuleKind::tc, lo);
  if (applied.ok()) {
    get(apply(RuleKind::tc, lo));
    EXPECT_TRUE(stands(netns_, RuleKind::tc, lo));
  } else {
    EXPECT_EQ(applied.error().kind(), ErrorKind::unsupported);
    EXPECT_NE(applied.error().message().find("cls_fw"), std::string::npos)
        << applied.error().message();
  }
  get(remove(RuleKind::tc, lo));
  EXPECT_FALSE(stands(netns_, RuleKind::tc, lo));
}

TEST(SystemCommand, GivesInputAndTellsOutputErrorsAndExitCode) {
  const auto done = get(run_command({"sh", "-c", "cat; echo oops >&2; exit 7"}, "hello"));
  EXPECT_EQ(done.exit_code, 7);
  EXPECT_EQ(done.output, "hello");
  EXPECT_EQ(done.errors, "oops\n");
}

TEST(SystemCommand, AMissingProgramIsNotFoundAndASlowOneKilled) {
  const auto missing = run_command({"no-such-program"});
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind(), ErrorKind::not_found);
  const auto slow = run_command({"sleep", "60"}, "", std::chrono::seconds(0));
  ASSERT_FALSE(slow.ok());
  EXPECT_EQ(slow.error().kind(), ErrorKind::timed_out);
  EXPECT_EQ(get(run_command({"sh", "-c", "kill -9 $$"})).exit_code, 128 + 9);
}

// Who can set PATH must not choose what root runs.
TEST(SystemCommand, PathAndEnvironmentAreItsOwn) {
  const auto done = get(run_command({"env"}));
  EXPECT_EQ(done.output, "LC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n");
}

}  // namespace
}  // namespace cs::test
