// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/exact_buffer.h"
#include "tools/capture/frame.h"

namespace cs::capture {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Bytes v4(std::uint16_t length, std::size_t there) {
  Bytes packet(there);
  packet[0] = 0x45;
  packet[2] = static_cast<std::uint8_t>(length >> 8U);
  packet[3] = static_cast<std::uint8_t>(length);
  return packet;
}

Bytes v6(std::uint16_t payload, std::size_t there) {
  Bytes packet(there);
  packet[0] = 0x60;
  packet[4] = static_cast<std::uint8_t>(payload >> 8U);
  packet[5] = static_cast<std::uint8_t>(payload);
  return packet;
}

// As "offset+size state", or "none".
std::string found(Link link, const Bytes& bytes, std::uint32_t on_the_wire = 0) {
  const test::ExactBuffer exact(bytes);
  const Frame frame{
      .original_size = on_the_wire == 0 ? static_cast<std::uint32_t>(bytes.size()) : on_the_wire,
      .link = link,
      .bytes = exact.view()};
  const auto ip = find_ip(frame);
  if (!ip) return "none";
  EXPECT_LE(ip->offset + ip->size, bytes.size());
  const std::string state = ip->state == IpState::whole ? "whole"
                            : ip->state == IpState::cut ? "cut"
                                                        : "malformed";
  return std::to_string(ip->offset) + "+" + std::to_string(ip->size) + " " + state;
}

const Bytes addresses(12, 0xaa);
const Bytes type4{0x08, 0x00};
const Bytes type6{0x86, 0xdd};
const Bytes tag{0x81, 0x00, 0x00, 0x01};
const Bytes service_tag{0x88, 0xa8, 0x00, 0x02};

TEST(FindIp, KnowsEachLink) {
  const Bytes p4 = v4(30, 30);
  const Bytes p6 = v6(2, 42);
  EXPECT_EQ(found(Link::ethernet, addresses + type4 + p4), "14+30 whole");
  EXPECT_EQ(found(Link::ethernet, addresses + type6 + p6), "14+42 whole");
  for (const Link link : {Link::raw, Link::raw_12, Link::raw_14}) {
    EXPECT_EQ(found(link, p4), "0+30 whole");
    EXPECT_EQ(found(link, p6), "0+42 whole");
  }
  EXPECT_EQ(found(Link::ipv4, p4), "0+30 whole");
  EXPECT_EQ(found(Link::ipv6, p6), "0+42 whole");
  EXPECT_EQ(found(Link::linux_cooked, Bytes(14) + type4 + p4), "16+30 whole");
  EXPECT_EQ(found(Link::linux_cooked, Bytes(14) + type6 + p6), "16+42 whole");
  EXPECT_EQ(found(Link::linux_cooked_2, type4 + Bytes(18) + p4), "20+30 whole");
  EXPECT_EQ(found(Link::linux_cooked_2, type6 + Bytes(18) + p6), "20+42 whole");
  EXPECT_EQ(found(Link::null, Bytes{2, 0, 0, 0} + p4), "4+30 whole");
  EXPECT_EQ(found(Link::null, Bytes{0, 0, 0, 2} + p4), "4+30 whole");
  EXPECT_EQ(found(Link::loop, Bytes{0, 0, 0, 2} + p4), "4+30 whole");
  for (const std::uint8_t family : Bytes{10, 24, 28, 30}) {
    EXPECT_EQ(found(Link::null, Bytes{family, 0, 0, 0} + p6), "4+42 whole");
    EXPECT_EQ(found(Link::loop, Bytes{0, 0, 0, family} + p6), "4+42 whole");
  }
}

TEST(FindIp, PassesOverTwoVlanTags) {
  EXPECT_EQ(found(Link::ethernet, addresses + tag + type4 + v4(20, 20)), "18+20 whole");
  EXPECT_EQ(found(Link::ethernet, addresses + service_tag + tag + type6 + v6(0, 40)),
            "22+40 whole");
  EXPECT_EQ(found(Link::ethernet, addresses + tag + tag + tag + type4 + v4(20, 20)), "none");
  EXPECT_EQ(found(Link::linux_cooked, Bytes(14) + tag + type4 + v4(20, 20)), "20+20 whole");
}

TEST(FindIp, FindsNoneInOtherFrames) {
  EXPECT_EQ(found(Link::ethernet, addresses + Bytes{0x08, 0x06} + Bytes(46)), "none");
  EXPECT_EQ(found(Link::ethernet, addresses + Bytes{0x00, 0x40} + v4(20, 46)), "none");
  EXPECT_EQ(found(Link::loop, Bytes{2, 0, 0, 0} + v4(20, 20)), "none");
  EXPECT_EQ(found(Link::null, Bytes{7, 0, 0, 0} + v4(20, 20)), "none");
  EXPECT_EQ(found(static_cast<Link>(147), v4(20, 20)), "none");
  EXPECT_FALSE(is_known(static_cast<Link>(147)));
  EXPECT_TRUE(is_known(Link::linux_cooked_2));
}

TEST(FindIp, TheLengthFieldWinsOverPadding) {
  EXPECT_EQ(found(Link::ethernet, addresses + type4 + v4(28, 46)), "14+28 whole");
  EXPECT_EQ(found(Link::ethernet, addresses + type6 + v6(1, 46)), "14+41 whole");
}

TEST(FindIp, TellsACutPacketFromALyingOne) {
  EXPECT_EQ(found(Link::raw, v4(100, 60), 100), "0+60 cut");
  EXPECT_EQ(found(Link::raw, v4(100, 60)), "0+60 malformed");
  EXPECT_EQ(found(Link::raw, v4(60, 60), 100), "0+60 whole") << "only padding was cut";
  EXPECT_EQ(found(Link::raw, v6(100, 60), 140), "0+60 cut");
  EXPECT_EQ(found(Link::raw, v6(100, 60)), "0+60 malformed");
  EXPECT_EQ(found(Link::raw, v4(100, 12), 100), "0+12 cut");
  EXPECT_EQ(found(Link::raw, v6(100, 39), 140), "0+39 cut");
  EXPECT_EQ(found(Link::raw, v4(100, 12)), "0+12 malformed");
}

TEST(FindIp, AVersionOrLengthThatCannotBeIsMalformed) {
  EXPECT_EQ(found(Link::raw, v4(19, 40)), "0+40 malformed");
  EXPECT_EQ(found(Link::raw, v4(0, 40)), "0+40 malformed");
  EXPECT_EQ(found(Link::raw, Bytes(40)), "0+40 malformed");
  EXPECT_EQ(found(Link::raw, {}), "0+0 malformed");
  EXPECT_EQ(found(Link::ipv6, v4(40, 40)), "0+40 malformed");
  EXPECT_EQ(found(Link::ethernet, addresses + type4 + v6(0, 40)), "14+40 malformed");
  EXPECT_EQ(found(Link::ethernet, addresses + type6 + v4(40, 40)), "14+40 malformed");
}

TEST(FindIp, LooksAtNothingBehindTheEnd) {
  const std::vector<std::pair<Link, Bytes>> frames{
      {Link::ethernet, addresses + service_tag + tag + type6 + v6(4, 44)},
      {Link::linux_cooked, Bytes(14) + tag + type4 + v4(24, 24)},
      {Link::linux_cooked_2, type4 + Bytes(18) + v4(24, 24)},
      {Link::null, Bytes{2, 0, 0, 0} + v4(24, 24)},
      {Link::loop, Bytes{0, 0, 0, 2} + v4(24, 24)}};
  for (const auto& [link, bytes] : frames) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const Bytes part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_EQ(found(link, part).find("whole"), std::string::npos) << size;
      const auto total = static_cast<std::uint32_t>(bytes.size());
      EXPECT_EQ(found(link, part, total).find("whole"), std::string::npos) << size;
    }
  }
}

}  // namespace
}  // namespace cs::capture
