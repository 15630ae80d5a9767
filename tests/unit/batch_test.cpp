// SPDX-License-Identifier: GPL-3.0-or-later
// Hashing, trees, signatures, the gate: each against the library's or a plain form of the same.
#include "nfq-signer/batch.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "tests/unit/wire_packets.h"

namespace cs::test {
namespace {

Digest evp_sha256(ByteView message) {
  Digest out{};
  unsigned int size = 0;
  EVP_Digest(message.data(), message.size(), out.data(), &size, EVP_sha256(), nullptr);
  return out;
}

TEST(Hash, IsSha256AtEveryLength) {
  Packet message;
  for (std::size_t size = 0; size < 300; ++size) {
    EXPECT_EQ(sha256(message), evp_sha256(message)) << size;
    message.push_back(static_cast<std::uint8_t>(size * 7));
  }
}

TEST(PacketHasher, HashesAnyNumberOfPacketsAndLeavesThemAsTheyWere) {
  std::mt19937 random(1);
  PacketHasher hasher = get(PacketHasher::create(70));
  for (std::size_t count = 0; count <= 70; ++count) {
    std::vector<Packet> packets;
    std::vector<Digest> digests(count);
    for (std::size_t i = 0; i < count; ++i) {
      packets.push_back(
          make_packet(all_shapes[random() % all_shapes.size()], random() % 2000, random));
    }
    const std::vector<Packet> before = packets;
    for (std::size_t i = 0; i < count; ++i)
      hasher.add(layout_of(packets[i]), packets[i], digests[i]);
    hasher.run();
    EXPECT_EQ(packets, before);
    for (std::size_t i = 0; i < count; ++i) {
      const Layout at = layout_of(packets[i]);
      Packet message{0, static_cast<std::uint8_t>(at.protocol)};
      message.insert(message.end(), packets[i].begin() + static_cast<std::ptrdiff_t>(at.payload),
                     packets[i].end());
      EXPECT_EQ(digests[i], evp_sha256(message)) << i << " of " << count;
    }
  }
}

TEST(PacketHasher, RefusesNoCapacityAndDiesOfTooMany) {
  EXPECT_FALSE(PacketHasher::create(0).ok());
  PacketHasher hasher = get(PacketHasher::create(1));
  std::mt19937 random(1);
  Packet packet = make_packet(Shape::esp4, 20, random);
  Digest digest{};
  hasher.add(layout_of(packet), packet, digest);
  EXPECT_DEATH(hasher.add(layout_of(packet), packet, digest), "more packets than its capacity");
  hasher.run();
}

TEST(ShortMessage, ManyAtOnceAreHashedAsEachAlone) {
  std::mt19937 random(3);
  for (std::size_t count = 0; count <= 40; ++count) {
    for (const std::size_t size : {0U, 53U, 55U}) {
      std::vector<ShortMessage> messages(count, ShortMessage(size));
      std::vector<Digest> digests(count);
      std::vector<Digest*> places;
      for (std::size_t i = 0; i < count; ++i) {
        for (std::uint8_t& byte : messages[i].bytes()) byte = static_cast<std::uint8_t>(random());
        places.push_back(&digests[i]);
      }
      ShortMessage::hash_all(messages, places);
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(digests[i], messages[i].hash()) << i << " of " << count;
        const ByteSpan bytes = messages[i].bytes();
        EXPECT_EQ(digests[i], evp_sha256(Packet(bytes.begin(), bytes.end())));
      }
    }
  }
}

Digest leaf(const BatchHash& hash, std::uint32_t index, const Digest& packet) {
  Digest out{};
  NodeHasher hasher(hash);
  hasher.leaf(index, packet, out);
  hasher.flush();
  return out;
}

Digest node(const BatchHash& hash, std::uint8_t level, std::uint32_t index, ByteView left,
            ByteView right) {
  Digest out{};
  NodeHasher hasher(hash);
  hasher.node(level, index, left, right, out);
  hasher.flush();
  return out;
}

// The definition of docs/WIRE.md, word by word.
Digest plain_root(const BatchHash& hash, const std::vector<Digest>& packets) {
  std::vector<Digest> level;
  for (std::uint32_t i = 0; i < packets.size(); ++i) level.push_back(leaf(hash, i, packets[i]));
  for (std::uint8_t l = 1; level.size() > 1; ++l) {
    std::vector<Digest> above;
    for (std::uint32_t j = 0; 2 * j < level.size(); ++j) {
      above.push_back(2 * j + 1 < level.size()
                          ? node(hash, l, j, ByteView(level[2 * j]).first(hash.node_size()),
                                 ByteView(level[2 * j + 1]).first(hash.node_size()))
                          : level[2 * j]);
    }
    level = above;
  }
  return level.front();
}

// How a path is climbed, in the words of the same page.
Digest climb(const BatchHash& hash, std::uint32_t index, std::uint32_t count, const Digest& packet,
             ByteView path) {
  const std::size_t n = hash.node_size();
  Digest full = leaf(hash, index, packet);
  for (std::uint8_t level = 1; count > 1; ++level, index >>= 1U, count = (count + 1) >> 1U) {
    if ((index ^ 1U) >= count) continue;  // promoted
    const ByteView sibling = path.first(n);
    const ByteView own = ByteView(full).first(n);
    path = path.subspan(n);
    full = index % 2 == 0 ? node(hash, level, index >> 1U, own, sibling)
                          : node(hash, level, index >> 1U, sibling, own);
  }
  return full;
}

TEST(BatchTree, EveryPathOfEverySizeLeadsToTheRoot) {
  const Ends ends;
  for (const Suite suite : {Suite::p256_node16, Suite::p256_node32}) {
    KeyScope scope = ends.scope;
    scope.suite = suite;
    BatchTree tree(300);
    for (std::uint16_t count = 1; count <= 300;
         count = static_cast<std::uint16_t>(count + (count < 70 ? 1 : 23))) {
      std::vector<Digest> packets(count);
      for (std::size_t i = 0; i < count; ++i) packets[i].fill(static_cast<std::uint8_t>(i * 3 + 1));
      const BatchHash hash(scope, {1, 0, count, {}});
      const Digest root = tree.build(hash, packets);
      EXPECT_EQ(root, plain_root(hash, packets));
      for (std::uint32_t i = 0; i < count; ++i) {
        Packet path(path_depth(i, count) * node_size(suite));
        tree.copy_path(i, path);
        EXPECT_EQ(climb(hash, i, count, packets[i], path), root) << i << " of " << count;
      }
    }
  }
}

TEST(BatchTree, TakesTheLargestBatchAndDiesOfALargerOne) {
  BatchTree tree(max_batch);
  std::vector<Digest> packets(max_batch);
  const BatchHash hash(Ends().scope, {1, 0, max_batch, {}});
  const Digest root = tree.build(hash, packets);
  Packet path(15 * 16);
  ASSERT_EQ(path_depth(32767, max_batch), 15U);
  tree.copy_path(32767, path);
  EXPECT_EQ(climb(hash, 32767, max_batch, packets[32767], path), root);
  packets.resize(max_batch + 20);
  EXPECT_DEATH(tree.build(hash, packets), "BatchTree");
}

// Whatever goes into the prefix changes every leaf.
TEST(BatchHash, DependsOnEverythingThatNamesTheBatch) {
  const KeyScope scope = Ends().scope;
  const BatchId id{5, 1, 9, {}};
  const Digest base = leaf(BatchHash(scope, id), 0, {});
  const auto differs = [&](auto change) {
    KeyScope s = scope;
    BatchId b = id;
    change(s, b);
    return leaf(BatchHash(s, b), 0, {}) != base &&
           make_statement(s, b, {}) != make_statement(scope, id, {});
  };
  EXPECT_TRUE(differs([](KeyScope& s, BatchId&) { s.session[31] ^= 1; }));
  EXPECT_TRUE(differs([](KeyScope& s, BatchId&) { s.direction ^= 1; }));
  EXPECT_TRUE(differs([](KeyScope& s, BatchId&) { s.key ^= 1; }));
  EXPECT_TRUE(differs([](KeyScope&, BatchId& b) { b.number ^= 1; }));
  EXPECT_TRUE(differs([](KeyScope&, BatchId& b) { b.lane ^= 1; }));
  EXPECT_TRUE(differs([](KeyScope&, BatchId& b) { b.count ^= 1; }));
  EXPECT_TRUE(differs([](KeyScope&, BatchId& b) { b.salt[15] ^= 1; }));
}

TEST(Statement, HasItsPartsInTheirPlaces) {
  KeyScope scope = Ends().scope;
  scope.direction = 1;
  Digest root;
  root.fill(0xee);
  BatchId id{0x0102030405060708, 0x0a0b, 0x0c0d, {}};
  id.salt.fill(0xdd);
  const Statement statement = make_statement(scope, id, root);
  EXPECT_EQ(std::string(statement.begin(), statement.begin() + 20), "countersign batch v1");
  const Packet numbers(statement.begin() + 20, statement.begin() + 24);
  EXPECT_EQ(numbers, (Packet{0, 1, 1, 16}));
  EXPECT_EQ(Packet(statement.begin() + 56, statement.begin() + 74),
            (Packet{1, 0, 0, 0, 7, 0x0a, 0x0b, 1, 2, 3, 4, 5, 6, 7, 8, 0x0c, 0x0d, 0xdd}));
  EXPECT_EQ(statement[89], scope.pcr_digest[0]);
  EXPECT_EQ(statement[152], 0xee);
}

}  // namespace
}  // namespace cs::test
