// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/packet.h"

#include "tests/unit/wire_packets.h"

namespace cs::test {
namespace {

Reason layout_reason(ByteView packet) {
  Layout at;
  return find_layout(packet, nat_t_ports, at);
}

TEST(Layout, FindsEspAndAhInEveryShape) {
  std::mt19937 random(1);
  for (const Shape shape : all_shapes) {
    const Packet packet = make_packet(shape, 64, random);
    const Layout at = layout_of(packet);
    EXPECT_EQ(at.ipv6, is_v6(shape));
    const bool ah = shape == Shape::ah4 || shape == Shape::ah6 || shape == Shape::ah6_odd;
    EXPECT_EQ(at.protocol, ah ? Protocol::ah : Protocol::esp);
    EXPECT_EQ(at.ah_header, ah ? (shape == Shape::ah6 ? 24U : 28U) : 0U);
    EXPECT_EQ(packet[at.payload], ah ? 6 : 0);
  }
}

TEST(Layout, RefusesEveryTruncation) {
  std::mt19937 random(2);
  for (const Shape shape : all_shapes) {
    const Packet packet = make_packet(shape, 16, random);
    for (std::size_t size = 0; size < packet.size(); ++size) {
      // As it is, and with an IP header that admits it.
      const ByteView cut = ByteView(packet).first(size);
      EXPECT_EQ(layout_reason(cut), Reason::malformed);
      Packet told(cut.begin(), cut.end());
      if (size < (is_v6(shape) ? 40U : 20U)) continue;
      put16(told, is_v6(shape) ? 4 : 2, is_v6(shape) ? size - 40 : size);
      const Layout whole = layout_of(packet);
      const bool needed =
          size < whole.payload + (whole.protocol == Protocol::ah ? whole.ah_header : 8) ||
          whole.udp != 0;
      EXPECT_EQ(layout_reason(told), needed ? Reason::malformed : Reason::none) << size;
    }
  }
}

TEST(Layout, TellsFragmentsFromAtomicOnes) {
  std::mt19937 random(3);
  Packet v4 = make_packet(Shape::esp4, 16, random);
  for (const std::size_t flags : {0x2000U, 0x0001U, 0x1fffU}) {
    put16(v4, 6, flags);
    EXPECT_EQ(layout_reason(v4), Reason::fragment);
  }
  put16(v4, 6, 0);
  EXPECT_EQ(layout_reason(v4), Reason::none);
  Packet v6 = make_packet(Shape::esp6_extended, 16, random);
  const std::size_t fragment = layout_of(v6).payload - 8;
  for (const std::size_t offset : {0x0001U, 0x0008U, 0xfff8U}) {
    put16(v6, fragment + 2, offset);
    EXPECT_EQ(layout_reason(v6), Reason::fragment);
  }
  put16(v6, fragment + 2, 0x0006);  // reserved bits
  EXPECT_EQ(layout_reason(v6), Reason::none);
}

TEST(Layout, PassesEightExtensionHeadersAndNotNine) {
  std::mt19937 random(4);
  for (const int headers : {8, 9}) {
    Packet packet = make_packet(Shape::esp6, 16, random);
    Packet chain;
    for (int i = 0; i < headers; ++i) {
      const Packet one{static_cast<std::uint8_t>(i + 1 == headers ? 50 : 60), 0, 1, 4, 0, 0, 0, 0};
      chain.insert(chain.end(), one.begin(), one.end());
    }
    packet.insert(packet.begin() + 40, chain.begin(), chain.end());
    packet[6] = 60;
    put16(packet, 4, packet.size() - 40);
    EXPECT_EQ(layout_reason(packet), headers == 8 ? Reason::none : Reason::malformed);
  }
}

TEST(Layout, IkeKeepalivesAndOthersAreNotIpsec) {
  std::mt19937 random(5);
  Packet ike = make_packet(Shape::udp4, 16, random);
  put16(ike, 28, 0);
  put16(ike, 30, 0);
  EXPECT_EQ(layout_reason(ike), Reason::not_ipsec);
  Packet keepalive = make_packet(Shape::udp4, 16, random);
  keepalive.resize(29);
  put16(keepalive, 2, 29);
  put16(keepalive, 24, 9);
  keepalive[28] = 0xff;
  EXPECT_EQ(layout_reason(keepalive), Reason::not_ipsec);
  keepalive[28] = 0xfe;
  EXPECT_EQ(layout_reason(keepalive), Reason::malformed);
  Packet other = make_packet(Shape::udp4, 16, random);
  put16(other, 20, 53);
  put16(other, 22, 53);
  EXPECT_EQ(layout_reason(other), Reason::not_ipsec);
  put16(other, 22, 4500);
  EXPECT_EQ(layout_reason(other), Reason::none);
  Packet tcp = make_packet(Shape::esp4, 32, random);
  tcp[9] = 6;
  EXPECT_EQ(layout_reason(tcp), Reason::not_ipsec);
  tcp[0] = 0x55;
  EXPECT_EQ(layout_reason(tcp), Reason::malformed);
}

TEST(Layout, RefusesLengthsThatLie) {
  std::mt19937 random(6);
  Packet packet = make_packet(Shape::esp4, 32, random);
  put16(packet, 2, packet.size() + 1);
  EXPECT_EQ(layout_reason(packet), Reason::malformed);
  put16(packet, 2, packet.size() - 1);
  EXPECT_EQ(layout_reason(packet), Reason::malformed);
  packet = make_packet(Shape::udp4, 32, random);
  put16(packet, 24, packet.size() - 21);
  EXPECT_EQ(layout_reason(packet), Reason::malformed);
  packet = make_packet(Shape::ah4, 0, random);
  packet[21] = 0;  // an AH header of 8 bytes
  EXPECT_EQ(layout_reason(packet), Reason::malformed);
  packet[21] = 6;
  EXPECT_EQ(layout_reason(packet), Reason::malformed);  // longer than what is there
}

TEST(Growth, HasLimits) {
  Layout esp;
  EXPECT_EQ(check_growth(esp, 65535 - 112, 112), Reason::none);
  EXPECT_EQ(check_growth(esp, 65536 - 112, 112), Reason::too_big);
  EXPECT_EQ(check_growth(esp, 100, max_extension), Reason::none);
  EXPECT_EQ(check_growth(esp, 100, max_extension + 4), Reason::too_big);
  Layout ah;
  ah.protocol = Protocol::ah;
  ah.ah_header = max_ah_header - 112;
  EXPECT_EQ(check_growth(ah, 2000, 112), Reason::none);
  EXPECT_EQ(check_growth(ah, 2000, 116), Reason::too_big);
}

bool is_checksum_right(const Packet& packet, const Layout& at) {
  if (!at.ipv6 && ones_sum(ByteView(packet).first((packet[0] & 0xfU) * 4U)) != 0xffff) return false;
  if (at.udp == 0 || (packet[at.udp + 6] == 0 && packet[at.udp + 7] == 0)) return true;
  const ByteView addresses =
      at.ipv6 ? ByteView(packet).subspan(8, 32) : ByteView(packet).subspan(12, 8);
  const auto pseudo =
      static_cast<std::uint32_t>(ones_sum(addresses) + 17U + packet.size() - at.udp);
  return ones_sum(ByteView(packet).subspan(at.udp), pseudo) == 0xffff;
}

// Any packet, of any length, with any extension: taken out again it is the packet that was.
TEST(Splice, InsertAndRemoveAreInverse) {
  std::mt19937 random(7);
  for (const Shape shape : all_shapes) {
    for (std::size_t body = 0; body < 200; ++body) {
      const Packet packet = make_packet(shape, body, random);
      const Layout at = layout_of(packet);
      Packet extension(112 + 4 * (random() % 30));
      for (auto& b : extension) b = static_cast<std::uint8_t>(random());
      Packet grown(packet.size() + extension.size());
      insert_extension(at, packet, extension, grown);

      const Layout grown_at = layout_of(grown);
      EXPECT_TRUE(is_checksum_right(grown, grown_at));
      const std::size_t end = grown_at.end_of_icv(grown.size());
      EXPECT_TRUE(std::equal(extension.begin(), extension.end(),
                             grown.begin() + static_cast<std::ptrdiff_t>(end - extension.size())));
      const ByteSpan back = remove_extension(grown_at, grown, extension.size(), {});
      ASSERT_EQ(Packet(back.begin(), back.end()), packet) << static_cast<int>(shape) << " " << body;
    }
  }
}

TEST(Splice, AWrongChecksumStaysWrongByTheSame) {
  std::mt19937 random(8);
  for (const Shape shape : {Shape::udp4, Shape::udp6}) {
    Packet packet = make_packet(shape, 33, random);
    const Layout at = layout_of(packet);
    packet[at.udp + 6] ^= 0x5a;
    const Packet extension(112, 0xa5);
    Packet grown(packet.size() + extension.size());
    insert_extension(at, packet, extension, grown);
    EXPECT_FALSE(is_checksum_right(grown, layout_of(grown)));
    const ByteSpan back = remove_extension(layout_of(grown), grown, extension.size(), {});
    EXPECT_EQ(Packet(back.begin(), back.end()), packet);
  }
}

TEST(Splice, ClearedDontFragmentComesBack) {
  std::mt19937 random(9);
  for (const Shape shape : {Shape::esp4, Shape::ah4, Shape::udp4}) {
    const Packet packet = make_packet(shape, 50, random);
    const Layout at = layout_of(packet);
    const auto original = original_of(at, packet);
    ASSERT_TRUE(original);
    Packet cleared = packet;
    clear_dont_fragment(cleared, 0x1234);
    EXPECT_TRUE(is_checksum_right(cleared, at));
    EXPECT_FALSE(original_of(at, cleared));
    const Packet extension(116, 1);
    Packet grown(packet.size() + extension.size());
    insert_extension(at, cleared, extension, grown);
    const ByteSpan back = remove_extension(layout_of(grown), grown, extension.size(), original);
    EXPECT_EQ(Packet(back.begin(), back.end()), packet);
  }
}

constexpr std::uint16_t port = 4510;

Reason translated_reason(Packet packet) {
  ByteSpan rest = packet;
  const Reason reason = translate_back(port, rest);
  EXPECT_TRUE(reason == Reason::none || rest.size() == packet.size());
  return reason == Reason::none ? layout_reason(rest) : reason;
}

// Any packet that is not in UDP, of any length.
TEST(Translator, ThereAndBackIsIdentity) {
  std::mt19937 random(10);
  for (const Shape shape : all_shapes) {
    for (std::size_t body = 0; body < 200; ++body) {
      const Packet packet = make_packet(shape, body, random);
      const Layout at = layout_of(packet);
      if (at.udp != 0) continue;
      Packet wire = translated(packet, port);
      ASSERT_EQ(wire.size(), packet.size() + translation_size);
      Layout wire_at;  // as if it were ESP in UDP: any datagram is looked into
      ASSERT_EQ(find_layout(wire, {}, wire_at), Reason::none);
      EXPECT_EQ(wire_at.udp, at.payload);
      EXPECT_TRUE(is_checksum_right(wire, wire_at));
      const std::size_t checksum = wire[wire_at.udp + 6] * 256U + wire[wire_at.udp + 7];
      EXPECT_EQ(checksum != 0, at.ipv6);
      ByteSpan back = wire;
      EXPECT_EQ(translate_back(port, back), Reason::none);
      ASSERT_EQ(Packet(back.begin(), back.end()), packet) << static_cast<int>(shape) << " " << body;
    }
  }
}

TEST(Translator, LeavesAloneWhatIsNotForItsPort) {
  std::mt19937 random(11);
  for (const Shape shape : all_shapes) {
    const Packet packet = make_packet(shape, 64, random);
    Packet wire = layout_of(packet).udp != 0 ? packet : translated(packet, port + 1);
    const Packet before = wire;
    ByteSpan rest = wire;
    EXPECT_EQ(translate_back(port, rest), Reason::none);
    EXPECT_EQ(Packet(rest.begin(), rest.end()), before);
  }
}

TEST(Translator, RefusesEveryTruncation) {
  std::mt19937 random(12);
  for (const Shape shape : {Shape::esp4_options, Shape::esp6_extended, Shape::ah4, Shape::ah6}) {
    const Packet plain = make_packet(shape, 16, random);
    const Packet wire = translated(plain, port);
    const Layout at = layout_of(plain);
    const bool v6 = is_v6(shape);
    for (std::size_t size = at.payload; size < wire.size(); ++size) {
      Packet cut(wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(size));
      put16(cut, v6 ? 4 : 2, v6 ? size - 40 : size);
      EXPECT_EQ(translated_reason(cut), Reason::malformed) << size;  // UDP tells another length
      const std::size_t datagram = size - at.payload;
      if (datagram < 8) continue;
      put16(cut, at.payload + 4, datagram);
      const std::size_t needed = at.protocol == Protocol::ah ? at.ah_header : 8;
      EXPECT_EQ(translated_reason(cut), datagram < translation_size ? Reason::untranslatable
                                        : datagram < translation_size + needed ? Reason::malformed
                                                                               : Reason::none)
          << size;
    }
  }
}

TEST(Translator, RefusesEveryOtherHeader) {
  std::mt19937 random(13);
  for (const Shape shape : {Shape::esp4, Shape::ah6}) {
    const Packet plain = make_packet(shape, 60, random);
    const Packet wire = translated(plain, port);
    const std::size_t ours = layout_of(plain).payload + 8;
    for (std::size_t bit = 0; bit < 32; ++bit) {
      Packet changed = wire;
      changed[ours + bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      const bool is_other_protocol = changed[ours + 1] == (shape == Shape::ah6 ? 50 : 51);
      if (is_other_protocol) continue;  // for the signature to tell: it knows which it was
      EXPECT_EQ(translated_reason(changed), Reason::untranslatable) << bit;
    }
  }
}

}  // namespace
}  // namespace cs::test
