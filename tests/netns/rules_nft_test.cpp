// SPDX-License-Identifier: GPL-3.0-or-later
// The nftables rules as they are, on kernels whose nftables has a queue; elsewhere the program
// skips. rules_test.cpp shows with `drop` in the queue's place what they match.
#include <gtest/gtest.h>

#include "nfq-signer/rules_apply.h"
#include "tests/netns/environment.h"
#include "tests/netns/rules_packets.h"
#include "tests/support/require.h"
#include "tests/support/unwrap.h"

namespace cs::test {
namespace {

class RulesNft : public testing::TestWithParam<Family> {
 protected:
  static void SetUpTestSuite() {
    const Netns netns = get(Netns::create());
    const auto can = netns.run([] { return try_rules(RuleKind::nft, {}); });
    if (!can.ok()) require::missing(can.error().message(), "a kernel with CONFIG_NFT_QUEUE");
  }
};

TEST_P(RulesNft, APacketComesToAQueueAndPassesByItsVerdict) {
  const std::size_t index = GetParam() == Family::v4 ? 0 : 1;
  const Pair pair = get(make_pair());
  const RuleOptions options{.queues = 2};
  get(pair.a.run([&] { return apply_rules(RuleKind::nft, options); }));
  get(pair.a.run([&] { return apply_rules(RuleKind::nft, options); }));
  EXPECT_TRUE(get(pair.a.run([&] { return rules_in_place(RuleKind::nft, options); })));
  const auto sender = get(pair.a.run([] { return PacketSender::open(); }));
  const auto receiver = get(pair.b.run([] { return EspReceiver::open(GetParam()); }));
  const IpsecPackets packets(GetParam(), kAddressesA.at(index), kAddressesB.at(index));
  get(sender.send(packets.esp()));
  EXPECT_FALSE(get(receiver.receive(kSilence))) << "without a listener it passed";
  {
    const auto accept = [](const QueuedPacket&) { return Verdict::accept(); };
    QueueThread first(get(pair.a.run([] { return NfQueue::open({.number = 100}); })), accept);
    QueueThread second(get(pair.a.run([] { return NfQueue::open({.number = 101}); })), accept);
    get(sender.send(packets.esp()));
    EXPECT_TRUE(get(receiver.receive(kPatience)));
    EXPECT_EQ(get(first.stop()).handled + get(second.stop()).handled, 1U);
  }
  get(pair.a.run([&] { return remove_rules(RuleKind::nft, options); }));
  get(sender.send(packets.esp()));
  EXPECT_TRUE(get(receiver.receive(kPatience)));
}

INSTANTIATE_TEST_SUITE_P(Families, RulesNft, testing::Values(Family::v4, Family::v6),
                         [](const auto& test) { return test.param == Family::v4 ? "v4" : "v6"; });

}  // namespace
}  // namespace cs::test
