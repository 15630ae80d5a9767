// SPDX-License-Identifier: GPL-3.0-or-later
// What needs no privilege: packets made and read, and messages from a queue that are not as usual.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include <array>

#include "tests/support/nfqueue.h"
#include "tests/support/packet.h"
#include "tests/support/require.h"

namespace cs::test {
namespace {

EspSpec spec_v4() {
  return {.source = "192.0.2.1", .target = "192.0.2.2"};
}
EspSpec spec_v6() {
  return {.source = "2001:db8::1", .target = "2001:db8::2"};
}

TEST(Packet, MadeAsRead) {
  for (const EspSpec& spec : {spec_v4(), spec_v6()}) {
    const Bytes packet = esp_packet(spec);
    const auto ip = parse_ip(packet);
    ASSERT_TRUE(ip);
    EXPECT_EQ(ip->protocol, kProtocolEsp);
    EXPECT_EQ(ip->payload.size(), 8 + spec.body);
    EXPECT_EQ(esp_numbers(packet), (EspNumbers{spec.spi, spec.sequence}));
  }
}

// RFC 1071's own example.
TEST(Packet, Checksum) {
  EXPECT_EQ(internet_checksum(Bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}),
            static_cast<std::uint16_t>(~0xddf2));
  EXPECT_EQ(internet_checksum(ByteView(esp_packet(spec_v4())).first(20)), 0);
}

TEST(Packet, EveryOtherLengthIsRefused) {
  for (const EspSpec& spec : {spec_v4(), spec_v6()}) {
    const Bytes packet = esp_packet(spec);
    for (std::size_t size = 0; size < packet.size(); ++size) {
      EXPECT_FALSE(parse_ip(ByteView(packet).first(size))) << size;
    }
    Bytes longer = packet;
    longer.push_back(0);
    EXPECT_FALSE(parse_ip(longer));
  }
}

TEST(Packet, HeaderLengthsOutsideThePacketAreRefused) {
  Bytes packet = esp_packet({.source = "192.0.2.1", .target = "192.0.2.2", .body = 0});
  for (std::uint8_t words = 0; words < 16; ++words) {
    packet[0] = static_cast<std::uint8_t>(0x40 | words);
    EXPECT_EQ(parse_ip(packet).has_value(), words >= 5 && words <= 7) << int{words};
  }
  for (int version = 0; version < 16; ++version) {
    packet[0] = static_cast<std::uint8_t>(version << 4 | 5);
    EXPECT_EQ(parse_ip(packet).has_value(), version == 4) << version;
  }
}

TEST(Packet, ResizedThereAndBack) {
  for (const EspSpec& spec : {spec_v4(), spec_v6()}) {
    const Bytes packet = esp_packet(spec);
    Bytes changed = packet;
    ASSERT_TRUE(resize_packet(changed, 176));
    ASSERT_EQ(changed.size(), packet.size() + 176);
    EXPECT_TRUE(parse_ip(changed));
    ASSERT_TRUE(resize_packet(changed, -176));
    EXPECT_EQ(changed, packet);
    EXPECT_FALSE(resize_packet(changed, 0x10000));
    EXPECT_FALSE(resize_packet(changed, -89));
    EXPECT_EQ(changed, packet);
  }
}

TEST(Packet, FragmentsCarryThePayload) {
  for (const EspSpec& spec : {spec_v4(), spec_v6()}) {
    const Bytes packet = esp_packet(spec);
    const auto pieces = fragment(packet, 48);
    ASSERT_EQ(pieces.size(), 2U);
    const auto first = parse_ip(pieces[0]);
    const auto second = parse_ip(pieces[1]);
    ASSERT_TRUE(first && second);
    const std::size_t headers = first->family == Family::v4 ? 0 : 16;
    EXPECT_EQ(first->payload.size() + second->payload.size(), 8 + spec.body + headers);
  }
}

// A netlink message from a queue, with only the attributes a test puts into it.
class QueueMessage : public testing::Test {
 protected:
  QueueMessage() : header_(nfq_nlmsg_put(memory_.data(), NFQNL_MSG_PACKET, 1)) {}

  void put_header() {
    const nfqnl_msg_packet_hdr packet{htonl(77), 0, NF_INET_LOCAL_IN};
    mnl_attr_put(header_, NFQA_PACKET_HDR, sizeof(packet), &packet);
  }
  void put_payload() { mnl_attr_put(header_, NFQA_PAYLOAD, kPayload.size(), kPayload.data()); }

  void expect_dropped(std::optional<std::uint32_t> id, bool truncated) {
    const Message message = read_message(*header_);
    const auto* dropped = std::get_if<message::Dropped>(&message);
    ASSERT_NE(dropped, nullptr);
    EXPECT_EQ(dropped->id, id);
    EXPECT_EQ(dropped->truncated, truncated);
  }

  static constexpr std::array<std::uint8_t, 4> kPayload{1, 2, 3, 4};
  alignas(nlmsghdr) std::array<char, 1024> memory_{};
  nlmsghdr* header_;
};

TEST_F(QueueMessage, WholePacket) {
  put_header();
  put_payload();
  mnl_attr_put_u32(header_, NFQA_MARK, htonl(0x4d));
  const Message message = read_message(*header_);
  const auto* packet = std::get_if<QueuedPacket>(&message);
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(packet->id, 77U);
  EXPECT_EQ(packet->hook, NF_INET_LOCAL_IN);
  EXPECT_EQ(packet->mark, 0x4dU);
  EXPECT_TRUE(std::equal(packet->payload.begin(), packet->payload.end(), kPayload.begin()));
}

TEST_F(QueueMessage, WithoutAnythingHasNoId) {
  expect_dropped(std::nullopt, false);
}

TEST_F(QueueMessage, WithoutPacketHeaderHasNoId) {
  put_payload();
  expect_dropped(std::nullopt, false);
}

TEST_F(QueueMessage, ShortPacketHeaderHasNoId) {
  mnl_attr_put_u32(header_, NFQA_PACKET_HDR, 0);
  put_payload();
  expect_dropped(std::nullopt, false);
}

TEST_F(QueueMessage, WithoutPayloadIsDropped) {
  put_header();
  expect_dropped(77, false);
}

TEST_F(QueueMessage, EmptyPayloadIsDropped) {
  put_header();
  mnl_attr_put(header_, NFQA_PAYLOAD, 0, kPayload.data());
  expect_dropped(77, false);
}

TEST_F(QueueMessage, TruncatedIsDropped) {
  put_header();
  put_payload();
  mnl_attr_put_u32(header_, NFQA_CAP_LEN, htonl(1500));
  expect_dropped(77, true);
}

TEST_F(QueueMessage, ShortMarkCountsAsNone) {
  put_header();
  put_payload();
  mnl_attr_put_u8(header_, NFQA_MARK, 1);
  const Message message = read_message(*header_);
  ASSERT_TRUE(std::holds_alternative<QueuedPacket>(message));
  EXPECT_EQ(std::get<QueuedPacket>(message).mark, 0U);
}

TEST_F(QueueMessage, ShorterThanItsOwnHeader) {
  header_->nlmsg_len = NLMSG_HDRLEN;
  expect_dropped(std::nullopt, false);
}

TEST_F(QueueMessage, IsGivenWholeOrNotAtAll) {
  put_header();
  put_payload();
  const ByteView all(reinterpret_cast<const std::uint8_t*>(memory_.data()), header_->nlmsg_len);
  for (std::size_t size = 0; size < all.size(); ++size) {
    EXPECT_EQ(Messages(all.first(size)).next(), nullptr) << size;
  }
  Messages whole(all);
  EXPECT_EQ(whole.next(), header_);
  EXPECT_EQ(whole.next(), nullptr);
  for (const std::uint32_t length : {0U, NLMSG_HDRLEN - 1U, 0x80000000U, 0xffffffffU}) {
    header_->nlmsg_len = length;
    EXPECT_EQ(Messages(all).next(), nullptr) << length;
  }
}

TEST_F(QueueMessage, OtherMessagesArePassedOver) {
  header_->nlmsg_type = NLMSG_DONE;
  EXPECT_TRUE(std::holds_alternative<message::Other>(read_message(*header_)));
}

// The words are test_require.py's.
TEST(RequireDeathTest, ProgramsThatAreNotThere) {
  require::programs({"sh"});
  EXPECT_EXIT(
      {
        unsetenv("CI");
        require::programs({"sh", "no-such-program"});
      },
      testing::ExitedWithCode(77), "");
}

}  // namespace
}  // namespace cs::test
