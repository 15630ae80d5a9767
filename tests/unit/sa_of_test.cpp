// SPDX-License-Identifier: GPL-3.0-or-later
// Which SA a packet names; and that of cut off and strange ones nobody's is read.
#include "xfrm/gate/sa_of.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <vector>

#include "tests/unit/exact_buffer.h"

namespace cs::xfrm {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes ipv4(std::uint8_t protocol, const Bytes& rest, std::uint8_t words = 5) {
  Bytes packet(std::size_t{words} * 4);
  packet[0] = static_cast<std::uint8_t>(0x40U | words);
  packet[9] = protocol;
  packet[16] = 192;
  packet[19] = 2;
  packet.insert(packet.end(), rest.begin(), rest.end());
  return packet;
}

Bytes ipv6(std::uint8_t next, const Bytes& rest) {
  Bytes packet(40);
  packet[0] = 0x60;
  packet[6] = next;
  packet[24] = 0x20;
  packet[39] = 2;
  packet.insert(packet.end(), rest.begin(), rest.end());
  return packet;
}

std::optional<SaName> read(const Bytes& packet) {
  return sa_of(test::ExactBuffer(packet).view());
}

const Bytes esp{0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1};
const Bytes ah{4, 4, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1};
const Bytes udp{0x11, 0x94, 0x11, 0x94, 0, 16, 0, 0, 0x12, 0x34, 0x56, 0x78};

TEST(SaOf, BothFamiliesAndAllForms) {
  const auto four = net::Address::parse("192.0.0.2").value();
  const auto six = net::Address::parse("2000::2").value();
  EXPECT_EQ(read(ipv4(IPPROTO_ESP, esp)), (SaName{four, IPPROTO_ESP, 0x12345678}));
  EXPECT_EQ(read(ipv4(IPPROTO_ESP, esp, 15)), (SaName{four, IPPROTO_ESP, 0x12345678}));
  EXPECT_EQ(read(ipv4(IPPROTO_AH, ah)), (SaName{four, IPPROTO_AH, 0x12345678}));
  EXPECT_EQ(read(ipv4(IPPROTO_UDP, udp)), (SaName{four, IPPROTO_ESP, 0x12345678}));
  EXPECT_EQ(read(ipv6(IPPROTO_ESP, esp)), (SaName{six, IPPROTO_ESP, 0x12345678}));
  EXPECT_EQ(read(ipv6(IPPROTO_AH, ah)), (SaName{six, IPPROTO_AH, 0x12345678}));
}

TEST(SaOf, NobodysIsRead) {
  Bytes fragment = ipv4(IPPROTO_ESP, esp);
  fragment[7] = 1;
  Bytes first_fragment = ipv4(IPPROTO_ESP, esp);
  first_fragment[6] = 0x20;
  Bytes short_header = ipv4(IPPROTO_ESP, esp);
  short_header[0] = 0x44;
  Bytes other = ipv4(IPPROTO_ESP, esp);
  other[0] = 0x55;
  Bytes ike = udp;
  ike[8] = ike[9] = ike[10] = ike[11] = 0;
  const Bytes keepalive{0x11, 0x94, 0x11, 0x94, 0, 9, 0, 0, 0xff};
  for (const Bytes& packet :
       {Bytes{}, fragment, first_fragment, short_header, other, ipv4(IPPROTO_UDP, ike),
        ipv4(IPPROTO_UDP, keepalive), ipv4(IPPROTO_TCP, esp), ipv6(IPPROTO_DSTOPTS, esp)}) {
    EXPECT_FALSE(read(packet)) << packet.size();
  }
}

TEST(SaOf, CutOffIsNobodys) {
  const Bytes up_to_spi(ah.begin(), ah.begin() + 8);
  for (const Bytes& whole :
       {ipv4(IPPROTO_UDP, udp), ipv4(IPPROTO_AH, up_to_spi, 7), ipv6(IPPROTO_AH, up_to_spi)}) {
    EXPECT_TRUE(read(whole));
    for (auto end = whole.begin(); end != whole.end(); ++end) {
      EXPECT_FALSE(read(Bytes(whole.begin(), end))) << end - whole.begin();
    }
  }
}

}  // namespace
}  // namespace cs::xfrm
