// SPDX-License-Identifier: GPL-3.0-or-later
// Both ends against each other: what was signed comes back whole, and nothing else gets in.
#include "nfq-signer/inbound.h"

#include <functional>

#include "tests/unit/wire_packets.h"

namespace cs::test {
namespace {

class Wire : public ::testing::Test {
 protected:
  Wire() : signing_(ends_.signing()), key_(ends_.outbound()), verifier_(Verifier::Options{}) {
    get(verifier_.add_key(ends_.inbound()));
  }
  std::vector<Packet> packets(std::size_t count, Shape shape = Shape::esp4) {
    std::vector<Packet> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(make_packet(shape, 40 + i % 5, random_));
    return out;
  }
  std::vector<Packet> signed_packets(std::size_t count) {
    return sign(key_, signing_, packets(count));
  }
  Reason reason(const Packet& packet, const Now& now = {WallTime{}, BootTime{}}) {
    return receive(verifier_, packet, now).reason;
  }
  // Changes a field of the extension and makes the gate tag right again, as only the peer could.
  Packet as_peer(Packet packet, const std::function<void(ByteSpan extension)>& change) {
    const Layout at = layout_of(packet);
    Extension extension;
    EXPECT_EQ(parse_extension(at, packet, extension), Reason::none);
    const std::size_t size = extension.all.size();
    const std::size_t start = at.end_of_icv(packet.size()) - size;
    Packet copy = packet;
    const ByteSpan stripped = remove_extension(at, copy, size, {});
    const Digest digest = digest_of(Packet(stripped.begin(), stripped.end()));
    const ByteSpan bytes = ByteSpan(packet).subspan(start, size);
    change(bytes);
    const Tag tag = key_.gate().tag(digest, bytes);
    std::copy(tag.begin(), tag.end(), bytes.end() - 10);
    return packet;
  }

  Ends ends_;
  SigningKey signing_;
  OutboundKey key_;
  Verifier verifier_;
  std::mt19937 random_{11};
};

// Offsets from the end of the extension.
constexpr std::size_t batch_field = 32;
constexpr std::size_t key_field = 24;
constexpr std::size_t pcr_field = 20;
constexpr std::size_t lane_field = 16;
constexpr std::size_t index_field = 14;
constexpr std::size_t count_field = 12;
constexpr std::size_t salt_field = 48;
constexpr std::size_t signature_field = 112;

TEST_F(Wire, AnyPacketInAnyBatchComesBackAsItWas) {
  for (const Suite suite :
       {Suite::p256_node16, Suite::p256_node32, Suite::ed25519_node16, Suite::ed25519_node32}) {
    const Ends ends(suite, 8);
    OutboundKey key = ends.outbound(2);
    const SigningKey signing = ends.signing();
    Verifier verifier{Verifier::Options{}};
    get(verifier.add_key(ends.inbound()));
    for (const std::size_t count : {1U, 2U, 3U, 5U, 8U, 64U, 100U}) {
      std::vector<Packet> plain;
      for (std::size_t i = 0; i < count; ++i) {
        plain.push_back(
            make_packet(all_shapes[random_() % all_shapes.size()], random_() % 1500, random_));
      }
      std::vector<Packet> wire = sign(key, signing, plain);
      for (std::size_t i = 0; i < count; ++i) {
        const Received got = receive(verifier, wire[i]);
        ASSERT_EQ(got.reason, Reason::none) << i << " of " << count;
        ASSERT_EQ(got.stripped, plain[i]);
      }
    }
    EXPECT_EQ(verifier.signatures_checked(), 7U);
  }
}

TEST_F(Wire, OrderAndLossDoNotMatter) {
  std::vector<Packet> all;
  for (const std::size_t count : {7U, 33U, 64U}) {
    for (Packet& packet : signed_packets(count)) all.push_back(std::move(packet));
  }
  std::shuffle(all.begin(), all.end(), random_);
  all.resize(all.size() / 2);
  for (const Packet& packet : all) EXPECT_EQ(reason(packet), Reason::none);
  EXPECT_LE(verifier_.signatures_checked(), 3U);
}

TEST_F(Wire, AFlippedBitAnywhereThatCountsIsRefused) {
  for (const Shape shape : {Shape::esp4, Shape::ah6_odd, Shape::udp6}) {
    const std::vector<Packet> wire = sign(key_, signing_, packets(5, shape));
    for (const bool batch_is_known : {false, true}) {
      const std::size_t start = layout_of(wire[2]).payload;
      for (std::size_t bit = start * 8; bit < wire[2].size() * 8; ++bit) {
        Packet changed = wire[2];
        changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        EXPECT_NE(reason(changed), Reason::none) << "bit " << bit;
      }
      EXPECT_EQ(reason(wire[batch_is_known ? 2 : 3]), Reason::none);
    }
  }
}

TEST_F(Wire, AForgeryCostsNoSignatureCheckAndChangesNothing) {
  const std::vector<Packet> wire = signed_packets(4);
  Packet forged = wire[0];
  forged[30] ^= 1;
  EXPECT_EQ(reason(forged), Reason::bad_tag);
  EXPECT_EQ(verifier_.signatures_checked(), 0U);
  EXPECT_EQ(reason(wire[0]), Reason::none);
}

// What even the peer, who can make every tag right, does not get in.
TEST_F(Wire, FieldsPermutedBetweenTwoPacketsAreRefused) {
  const std::vector<Packet> first = signed_packets(8);
  const std::vector<Packet> second = signed_packets(8);
  const struct {
    std::size_t from_end, size;
    Reason fresh, known;
  } fields[] = {{salt_field, 16, Reason::bad_signature, Reason::bad_path},
                {signature_field, 64, Reason::bad_signature, Reason::bad_path},
                {batch_field, 8, Reason::bad_signature, Reason::bad_path},
                {signature_field + 48, 16, Reason::bad_signature, Reason::bad_path},  // path
                {signature_field + 16, 16, Reason::bad_signature, Reason::bad_path}};
  for (const bool known : {false, true}) {
    for (const auto& field : fields) {
      const Packet changed = as_peer(first[2], [&](ByteSpan extension) {
        const auto from = second[2].end() - static_cast<std::ptrdiff_t>(field.from_end);
        std::copy(from, from + static_cast<std::ptrdiff_t>(field.size),
                  extension.end() - static_cast<std::ptrdiff_t>(field.from_end));
      });
      EXPECT_EQ(reason(changed), known ? field.known : field.fresh) << field.from_end;
    }
    const Packet moved = as_peer(first[2], [](ByteSpan e) { e[e.size() - index_field + 1] = 3; });
    EXPECT_EQ(reason(moved), known ? Reason::bad_path : Reason::bad_signature);
    const Packet recounted =
        as_peer(first[2], [](ByteSpan e) { e[e.size() - count_field + 1] = 7; });
    EXPECT_EQ(reason(recounted), known ? Reason::bad_path : Reason::bad_signature);
    for (const Packet& packet : {first[0], second[0]}) EXPECT_EQ(reason(packet), Reason::none);
  }
  const Packet lane = as_peer(first[2], [](ByteSpan e) { e[e.size() - lane_field + 1] = 1; });
  EXPECT_EQ(reason(lane), Reason::bad_signature);
}

TEST_F(Wire, UpperPathNodesCountEvenWhenALowerOneIsProved) {
  const std::vector<Packet> wire = signed_packets(8);
  for (const Packet& packet : wire) ASSERT_EQ(reason(packet), Reason::none);
  const Packet changed =
      as_peer(wire[1], [](ByteSpan e) { e[e.size() - signature_field - 1] ^= 1; });
  EXPECT_EQ(reason(changed), Reason::bad_path);
}

std::vector<Reason> reasons_together(Verifier& verifier, const std::vector<Packet>& packets) {
  std::vector<Packet> stripped = packets;
  std::vector<Verifier::Candidate> candidates(packets.size());
  std::vector<Verifier::Candidate*> admitted;
  std::vector<Reason> out(packets.size());
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const Layout at = layout_of(packets[i]);
    out[i] = verifier.admit(at, packets[i], {WallTime{}, BootTime{}}, candidates[i]);
    if (out[i] != Reason::none) continue;
    const ByteSpan bare = remove_extension(at, stripped[i], candidates[i].extension.all.size(), {});
    candidates[i].digest = digest_of(Packet(bare.begin(), bare.end()));
    admitted.push_back(&candidates[i]);
  }
  verifier.verify(admitted);
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (out[i] == Reason::none) out[i] = candidates[i].reason;
  }
  return out;
}

TEST_F(Wire, APacketThatTakesAnothersPlaceIsRefused) {
  const std::vector<Packet> wire = signed_packets(8);
  Packet other = wire[3];
  other[layout_of(other).payload + 9] ^= 1;
  other = as_peer(other, [](ByteSpan) {});
  const std::vector<Reason> reasons = reasons_together(verifier_, {wire[3], other, wire[4]});
  EXPECT_EQ(reasons, (std::vector{Reason::none, Reason::bad_path, Reason::none}));
  EXPECT_EQ(reasons_together(verifier_, {other, wire[3]}),
            (std::vector{Reason::bad_path, Reason::none}));
}

// Packets of several batches, some of them twice, some changed as only the peer could, in any
// order.
TEST_F(Wire, TogetherPacketsAreToldWhatTheyAreToldAlone) {
  for (int round = 0; round < 30; ++round) {
    std::vector<Packet> all;
    for (const std::size_t count : {1U, 2U, 7U, 64U, 70U}) {
      const std::vector<Packet> batch = signed_packets(count);
      for (const Packet& packet : batch) {
        const auto kind = random_() % 40;
        const auto place = random_();
        if (kind == 0) continue;
        if (kind == 1) all.push_back(packet);
        all.push_back(kind != 2 || round < 10 ? packet : as_peer(packet, [&](ByteSpan e) {
          e[place % (e.size() - 4)] ^= 1;
        }));
      }
    }
    if (round % 2 != 0) std::shuffle(all.begin(), all.end(), random_);
    Verifier fresh{Verifier::Options{}};
    get(fresh.add_key(ends_.inbound()));
    const std::vector<Reason> together = reasons_together(fresh, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(together[i] == Reason::none, reason(all[i]) == Reason::none)
          << i << ": " << to_string(together[i]);
    }
    if (round < 10) {
      EXPECT_LE(fresh.signatures_checked(), 5U);
    }
  }
}

TEST_F(Wire, EachNamedReason) {
  const Packet packet = signed_packets(3)[1];
  const auto set = [&](std::size_t from_end, std::uint8_t value) {
    return as_peer(packet, [=](ByteSpan e) { e[e.size() - from_end] = value; });
  };
  EXPECT_EQ(reason(packets(1)[0]), Reason::no_extension);
  EXPECT_EQ(reason(set(key_field, 9)), Reason::unknown_key);
  EXPECT_EQ(reason(set(2, 0x23)), Reason::unknown_key);  // Ed25519, same node size
  EXPECT_EQ(reason(set(2, 0x25)), Reason::no_extension);
  EXPECT_EQ(reason(set(2, 0x41)), Reason::no_extension);  // version 2
  EXPECT_EQ(reason(set(lane_field, 9)), Reason::unknown_lane);
  EXPECT_EQ(reason(set(pcr_field, 0)), Reason::pcr_mismatch);
  EXPECT_EQ(reason(set(index_field + 0, 9)), Reason::no_extension);  // index above count
  EXPECT_EQ(reason(set(count_field, 0x90)), Reason::no_extension);
  EXPECT_EQ(reason(packet), Reason::none);
}

TEST_F(Wire, AKeyEndsAtTheEarlierOfItsTwoTimes) {
  using std::chrono::seconds;
  for (const bool by_wall : {true, false}) {
    Ends ends(Suite::p256_node16, 99);
    if (by_wall) {
      ends.end.not_after = WallTime(seconds(100));
    } else {
      ends.end.deadline = BootTime(seconds(100));
    }
    Verifier verifier{Verifier::Options{}};
    get(verifier.add_key(ends.inbound()));
    OutboundKey key = ends.outbound();
    const Packet packet = sign(key, signing_, packets(1))[0];
    const auto at = [&](int time) {
      return receive(verifier, packet,
                     {WallTime(seconds(by_wall ? time : 0)), BootTime(seconds(by_wall ? 0 : time))})
          .reason;
    };
    EXPECT_EQ(at(99), Reason::none);
    EXPECT_EQ(at(100), Reason::expired_key);
  }
}

TEST_F(Wire, AReflectedPacketIsRefused) {
  Ends back = Ends(Suite::p256_node16, 7, 2);
  back.scope = ends_.scope;
  back.scope.direction = 1;
  Verifier own{Verifier::Options{}};
  get(own.add_key(back.inbound()));
  EXPECT_EQ(receive(own, signed_packets(1)[0]).reason, Reason::bad_tag);
  // Even with one gate secret for both directions.
  Ends careless;
  careless.scope.direction = 1;
  Verifier verifier{Verifier::Options{}};
  get(verifier.add_key(careless.inbound()));
  EXPECT_EQ(receive(verifier, signed_packets(1)[0]).reason, Reason::bad_signature);
}

TEST_F(Wire, WindowMovesAndReplaysEvictNothing) {
  std::vector<Packet> history;
  for (int i = 0; i < 200; ++i) history.push_back(signed_packets(2)[1]);
  EXPECT_EQ(reason(history[199]), Reason::none);
  EXPECT_EQ(reason(history[199 - 64]), Reason::stale);
  EXPECT_EQ(reason(history[199 - 63]), Reason::none);  // late, and still in the window
  const std::uint64_t checked = verifier_.signatures_checked();
  for (int i = 0; i < 199 - 63; ++i)
    EXPECT_EQ(reason(history[static_cast<std::size_t>(i)]), Reason::stale);
  EXPECT_EQ(reason(history[199]), Reason::none);
  EXPECT_EQ(reason(history[199 - 63]), Reason::none);
  EXPECT_EQ(verifier_.signatures_checked(), checked);
}

TEST_F(Wire, LanesAreApart) {
  OutboundKey other = ends_.outbound(3);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(reason(signed_packets(1)[0]), Reason::none);
  EXPECT_EQ(reason(sign(other, signing_, packets(1))[0]),
            Reason::none);  // its batch 0 is not stale
}

TEST_F(Wire, KeysComeAndGo) {
  EXPECT_EQ(verifier_.add_key(ends_.inbound()).error().kind(), ErrorKind::exists);
  Ends wide(Suite::p256_node16, 12);
  wide.lanes = {0, 16};
  EXPECT_EQ(verifier_.add_key(wide.inbound()).error().kind(), ErrorKind::limit);
  wide.lanes = {3, 2};
  EXPECT_EQ(verifier_.add_key(wide.inbound()).error().kind(), ErrorKind::invalid);
  const Packet packet = signed_packets(1)[0];
  EXPECT_EQ(reason(packet), Reason::none);
  EXPECT_TRUE(verifier_.remove_key(ends_.scope.key));
  EXPECT_FALSE(verifier_.remove_key(ends_.scope.key));
  EXPECT_EQ(reason(packet), Reason::unknown_key);
}

TEST_F(Wire, LargeTreesAreKeptInPartAndVerifyAllTheSame) {
  Verifier small{Verifier::Options{.window = 2, .cached_nodes = 20}};
  get(small.add_key(ends_.inbound()));
  const std::vector<Packet> plain = packets(300);
  const std::vector<Packet> wire = sign(key_, signing_, plain);
  for (std::size_t i = 0; i < wire.size(); ++i)
    EXPECT_EQ(receive(small, wire[i]).stripped, plain[i]);
  for (const Packet& packet : wire) EXPECT_EQ(receive(small, packet).reason, Reason::none);
  EXPECT_EQ(small.signatures_checked(), 1U);
}

TEST_F(Wire, ExtensionSizesAreThoseOfTheDocument) {
  EXPECT_EQ(largest_extension(Suite::p256_node16, 1), 112U);
  EXPECT_EQ(largest_extension(Suite::p256_node16, 4), 144U);
  EXPECT_EQ(largest_extension(Suite::p256_node16, 64), 208U);
  EXPECT_EQ(largest_extension(Suite::p256_node16, 256), 240U);
  const std::vector<Packet> plain = packets(64);
  const std::vector<Packet> wire = sign(key_, signing_, plain);
  EXPECT_EQ(wire[0].size() - plain[0].size(), 208U);
}

}  // namespace
}  // namespace cs::test
