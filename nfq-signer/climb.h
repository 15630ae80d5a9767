// SPDX-License-Identifier: GPL-3.0-or-later
// The way of packets up the tree of their batch, side by side: docs/WIRE.md, section 3.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "nfq-signer/batch.h"
#include "nfq-signer/hash.h"

namespace cs {

inline constexpr std::size_t max_levels = 16;  // of 32768 leaves: 2^15, and the top

// The proved nodes of one verified batch, but for the root, which is not truncated. Small trees are
// kept whole; of large ones the upper levels.
class NodeCache {
 public:
  explicit NodeCache(std::size_t capacity) : nodes_(capacity), known_(capacity) {}

  void reset(std::uint32_t count, std::size_t node_size) noexcept;
  // Empty: not proved yet, or not kept.
  [[nodiscard]] ByteView find(std::size_t level, std::uint32_t index) const noexcept {
    if (offsets_[level] == not_kept || known_[offsets_[level] + index] == 0) return {};
    return ByteView(nodes_[offsets_[level] + index]).first(node_size_);
  }
  void keep(std::size_t level, std::uint32_t index, ByteView node) noexcept;

 private:
  static constexpr std::size_t not_kept = ~std::size_t{0};

  std::vector<Digest> nodes_;
  std::vector<std::uint8_t> known_;
  std::array<std::size_t, max_levels> offsets_{};
  std::size_t node_size_ = 16;
};

// Packets of one batch that climb together: what they have in common is hashed once. Nothing they
// say is believed before the root is known to be right; then it is clear for each whether the nodes
// of its path are those of the tree.
class Climb {
 public:
  // `most`: packets that climb together.
  explicit Climb(std::size_t most) : most_(most) {
    nodes_.reserve(most * max_levels);
    stands_.reserve(most);
  }

  struct Packet {
    std::uint32_t index = 0;
    const Digest* digest = nullptr;
    ByteView path;
    bool is_right = false;  // the answer, worth what the root is worth
  };
  // proved: all of them ended at nodes that are proved, so there is no root to look at. conflict:
  // they contradict one another, or what is proved; at least one of them is wrong, so each has to
  // climb alone.
  enum class Met : std::uint8_t { proved, root, conflict };

  // In the order of their indices, each below `count`, with paths as long as they must be.
  // `proved`: of the batch if it has verified, else null.
  Met up(const BatchHash& hash, std::uint32_t count, std::span<Packet> packets,
         const NodeCache* proved) noexcept;
  // After Met::root.
  [[nodiscard]] const Digest& root() const noexcept { return nodes_.back().own; }
  // Once the root is known to be right, or after Met::proved.
  void keep_in(NodeCache& cache) const noexcept;

 private:
  struct Node {
    std::uint32_t index = 0;
    std::uint32_t parent = 0;    // its place among the nodes
    std::uint32_t shown_by = 0;  // a packet below it
    std::uint8_t level = 0;
    bool is_proved = false;
    Digest own{};      // its first bytes are the node
    ByteView sibling;  // empty: promoted
  };

  bool start(NodeHasher& hasher, std::span<Packet> packets) noexcept;
  bool agree_with(const NodeCache& proved, std::size_t node_size) noexcept;
  void make_parents(NodeHasher& hasher, std::uint32_t width, std::size_t node_size,
                    std::span<const Packet> packets) noexcept;
  void move_up(std::span<Packet> packets, std::uint32_t width, const NodeCache* proved) noexcept;
  static bool shows_proved(const NodeCache& proved, Node from, std::uint32_t width,
                           ByteView path) noexcept;

  // Where a packet is.
  struct Stand {
    std::uint32_t node = 0;
    std::uint32_t passed = 0;  // bytes of its path
  };

  std::size_t most_;
  std::vector<Node> nodes_;      // level after level
  std::size_t level_begin_ = 0;  // of the level that is being looked at
  std::vector<Stand> stands_;    // of each packet
};

}  // namespace cs
