// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/climb.h"

#include <algorithm>
#include <cstring>

#include "base/panic.h"

namespace cs {

void NodeCache::reset(std::uint32_t count, std::size_t node_size) noexcept {
  node_size_ = node_size;
  std::fill(known_.begin(), known_.end(), std::uint8_t{0});
  offsets_.fill(not_kept);
  std::array<std::uint32_t, max_levels> widths{};
  std::size_t below_top = 0;
  for (std::uint32_t width = count; width > 1; width = (width + 1) >> 1U)
    widths[below_top++] = width;
  std::size_t used = 0;
  while (below_top-- > 0 && used + widths[below_top] <= known_.size()) {
    offsets_[below_top] = used;
    used += widths[below_top];
  }
}

void NodeCache::keep(std::size_t level, std::uint32_t index, ByteView node) noexcept {
  if (offsets_[level] == not_kept) return;
  std::memcpy(nodes_[offsets_[level] + index].data(), node.data(), node_size_);
  known_[offsets_[level] + index] = 1;
}

namespace {

bool same(ByteView a, ByteView b) noexcept {
  return std::memcmp(a.data(), b.data(), b.size()) == 0;
}

}  // namespace

Climb::Met Climb::up(const BatchHash& hash, std::uint32_t count, std::span<Packet> packets,
                     const NodeCache* proved) noexcept {
  if (packets.empty() || packets.size() > most_) panic("Climb: not as many as it has room for");
  const std::size_t n = hash.node_size();
  NodeHasher hasher(hash);
  if (!start(hasher, packets)) return Met::conflict;
  for (std::uint32_t width = count; width > 1; width = (width + 1) >> 1U) {
    const std::size_t end = nodes_.size();
    if (proved != nullptr && !agree_with(*proved, n)) return Met::conflict;
    make_parents(hasher, width, n, packets);
    move_up(packets, width, proved);
    if (nodes_.size() == end) return Met::proved;
    hasher.flush();
    level_begin_ = end;
  }
  return Met::root;
}

// The leaves. Copies of one packet share theirs.
bool Climb::start(NodeHasher& hasher, std::span<Packet> packets) noexcept {
  nodes_.clear();
  stands_.clear();
  level_begin_ = 0;
  for (std::uint32_t i = 0; i < packets.size(); ++i) {
    Packet& packet = packets[i];
    packet.is_right = true;
    if (i > 0 && packets[i - 1].index == packet.index) {
      if (*packets[i - 1].digest != *packet.digest) return false;
    } else {
      Node& leaf = nodes_.emplace_back();
      leaf.index = packet.index;
      leaf.shown_by = i;
      hasher.leaf(packet.index, *packet.digest, leaf.own);
    }
    stands_.push_back({static_cast<std::uint32_t>(nodes_.size() - 1), 0});
  }
  hasher.flush();
  return true;
}

bool Climb::agree_with(const NodeCache& proved, std::size_t node_size) noexcept {
  for (std::size_t i = level_begin_; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    const ByteView known = proved.find(node.level, node.index);
    if (known.empty()) continue;
    if (!same(ByteView(node.own).first(node_size), known)) return false;
    node.is_proved = true;
  }
  return true;
}

void Climb::make_parents(NodeHasher& hasher, std::uint32_t width, std::size_t node_size,
                         std::span<const Packet> packets) noexcept {
  const std::size_t end = nodes_.size();
  for (std::size_t i = level_begin_; i < end; ++i) {
    Node& node = nodes_[i];
    if (node.is_proved) continue;
    const auto place = static_cast<std::uint32_t>(nodes_.size());
    Node& parent = nodes_.emplace_back();  // reserved: nothing moves
    parent.index = node.index >> 1U;
    parent.level = static_cast<std::uint8_t>(node.level + 1);
    parent.shown_by = node.shown_by;
    node.parent = place;
    if ((node.index ^ 1U) >= width) {
      parent.own = node.own;
      continue;
    }
    const ByteView own = ByteView(node.own).first(node_size);
    const bool is_left = node.index % 2 == 0;
    if (is_left && i + 1 < end && nodes_[i + 1].index == node.index + 1) {
      Node& right = nodes_[++i];
      right.parent = place;
      right.sibling = own;
      node.sibling = ByteView(right.own).first(node_size);
    } else {
      node.sibling = packets[node.shown_by].path.subspan(stands_[node.shown_by].passed, node_size);
    }
    hasher.node(parent.level, parent.index, is_left ? own : node.sibling,
                is_left ? node.sibling : own, parent.own);
  }
}

// Each packet's own path has to show the siblings that were climbed with.
void Climb::move_up(std::span<Packet> packets, std::uint32_t width,
                    const NodeCache* proved) noexcept {
  for (std::size_t i = 0; i < packets.size(); ++i) {
    Stand& stand = stands_[i];
    if (stand.node < level_begin_) continue;  // ended at a proved node further down
    const Node& node = nodes_[stand.node];
    const ByteView path = packets[i].path.subspan(stand.passed);
    if (proved != nullptr && node.is_proved) {
      if (!shows_proved(*proved, node, width, path)) packets[i].is_right = false;
      continue;
    }
    if (!node.sibling.empty() && !same(path, node.sibling)) packets[i].is_right = false;
    stand.passed += static_cast<std::uint32_t>(node.sibling.size());
    stand.node = node.parent;
  }
}

// Above a proved node all siblings were proved with it; the packet has to show the same ones.
bool Climb::shows_proved(const NodeCache& proved, Node from, std::uint32_t width,
                         ByteView path) noexcept {
  for (; width > 1; ++from.level, from.index >>= 1U, width = (width + 1) >> 1U) {
    if ((from.index ^ 1U) >= width) continue;
    const ByteView known = proved.find(from.level, from.index ^ 1U);
    if (known.empty() || !same(path, known)) return false;
    path = path.subspan(known.size());
  }
  return true;
}

void Climb::keep_in(NodeCache& cache) const noexcept {
  for (const Node& node : nodes_) {
    if (node.is_proved) continue;
    cache.keep(node.level, node.index, node.own);
    if (!node.sibling.empty()) cache.keep(node.level, node.index ^ 1U, node.sibling);
  }
}

}  // namespace cs
