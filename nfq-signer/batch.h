// SPDX-License-Identifier: GPL-3.0-or-later
// Merkle batches and what is signed of them: docs/WIRE.md, sections 3 and 4. Nothing here allocates
// but BatchTree, when it is made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "nfq-signer/extension.h"
#include "nfq-signer/hash.h"
#include "nfq-signer/key.h"

namespace cs {

// Names one batch for good; together with a KeyScope it is what P is made from.
struct BatchId {
  std::uint64_t number = 0;
  std::uint16_t lane = 0;
  std::uint16_t count = 0;
  Salt salt{};
};

// From the kernel's generator.
[[nodiscard]] Salt random_salt() noexcept;

// The hashes of one batch. Holds P.
class BatchHash {
 public:
  BatchHash() = default;
  BatchHash(const KeyScope& scope, const BatchId& batch) noexcept;

  [[nodiscard]] std::size_t node_size() const noexcept { return node_size_; }

 private:
  friend class NodeHasher;
  static constexpr std::size_t prefix_size = 16;
  static constexpr std::size_t leaf_size = 1 + prefix_size + 4 + 32;
  static constexpr std::size_t narrow_node_size = 1 + prefix_size + 1 + 4 + std::size_t{2} * 16;
  static constexpr std::size_t wide_node_size = 1 + prefix_size + 1 + 4 + std::size_t{2} * 32;

  [[nodiscard]] ShortMessage leaf(std::uint32_t index, const Digest& packet) const noexcept;
  [[nodiscard]] ShortMessage node(std::uint8_t level, std::uint32_t index, ByteView left,
                                  ByteView right) const noexcept;
  // Of nodes of 32 bytes: two blocks.
  [[nodiscard]] Digest wide_node(std::uint8_t level, std::uint32_t index, ByteView left,
                                 ByteView right) const noexcept;

  // Everything but what differs from leaf to leaf, and from node to node of 16 bytes.
  ShortMessage leaf_{leaf_size};
  ShortMessage node_{narrow_node_size};
  std::size_t node_size_ = 16;
};

// Makes the hashes of a batch, many at once: full() of docs/WIRE.md. A node is the first
// node_size() bytes of one. What is asked for is there after flush().
class NodeHasher {
 public:
  explicit NodeHasher(const BatchHash& hash) noexcept : hash_(hash) {}

  void leaf(std::uint32_t index, const Digest& packet, Digest& out) noexcept;
  void node(std::uint8_t level, std::uint32_t index, ByteView left, ByteView right,
            Digest& out) noexcept;
  void flush() noexcept;

 private:
  static constexpr std::size_t at_once = 16;

  void add(const ShortMessage& message, Digest& out) noexcept;

  const BatchHash& hash_;
  std::size_t used_ = 0;
  std::array<ShortMessage, at_once> messages_;
  std::array<Digest*, at_once> places_{};
};

inline constexpr std::size_t statement_size = 153;
using Statement = std::array<std::uint8_t, statement_size>;

// The bytes that are signed.
[[nodiscard]] Statement make_statement(const KeyScope& scope, const BatchId& batch,
                                       const Digest& root) noexcept;

// The whole tree of a batch, on the signer's side. Reused from batch to batch.
class BatchTree {
 public:
  // For batches of up to `capacity` packets, at most max_batch.
  explicit BatchTree(std::size_t capacity);

  // `packets` are the digests, 1 to capacity of them. Returns the root.
  Digest build(const BatchHash& hash, std::span<const Digest> packets) noexcept;
  // Writes the path of a leaf of the tree last built: path_depth() nodes.
  void copy_path(std::uint32_t index, ByteSpan out) const noexcept;

 private:
  std::vector<Digest> nodes_;  // level after level
  std::size_t node_size_ = 16;
  std::uint32_t count_ = 0;
};

}  // namespace cs
