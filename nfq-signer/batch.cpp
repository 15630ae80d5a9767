// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/batch.h"

#include <sodium.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "base/endian.h"
#include "base/panic.h"

namespace cs {

namespace {

using namespace std::string_view_literals;
constexpr std::string_view domain = "countersign batch v1\0"sv;

// Collects the bytes of one hash or statement on the stack; sizes are known when we compile.
template <std::size_t capacity>
class Message {
 public:
  Message& bytes(ByteView view) noexcept {
    std::copy(view.begin(), view.end(), data_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += view.size();
    return *this;
  }
  template <class T>
  Message& number(T value) noexcept {
    store<std::endian::big>(value, ByteSpan(data_).subspan(size_).template first<sizeof(T)>());
    size_ += sizeof(T);
    return *this;
  }
  [[nodiscard]] ByteView view() const noexcept { return ByteView(data_).first(size_); }
  [[nodiscard]] const std::array<std::uint8_t, capacity>& all() const noexcept { return data_; }

 private:
  std::array<std::uint8_t, capacity> data_{};
  std::size_t size_ = 0;
};

}  // namespace

Salt random_salt() noexcept {
  Salt salt{};
  randombytes_buf(salt.data(), salt.size());
  return salt;
}

BatchHash::BatchHash(const KeyScope& scope, const BatchId& batch) noexcept
    : node_size_(cs::node_size(scope.suite)) {
  Message<66> message;
  message.number(std::uint8_t{3}).bytes(batch.salt).bytes(scope.session).number(scope.direction);
  message.number(scope.key).number(batch.lane).number(batch.number).number(batch.count);
  const Digest digest = sha256(message.view());
  const ByteView prefix = ByteView(digest).first(prefix_size);
  leaf_.bytes()[0] = 1;
  node_.bytes()[0] = 2;
  for (ShortMessage* of : {&leaf_, &node_})
    std::copy(prefix.begin(), prefix.end(), of->bytes().begin() + 1);
}

ShortMessage BatchHash::leaf(std::uint32_t index, const Digest& packet) const noexcept {
  ShortMessage message = leaf_;
  const ByteSpan at = message.bytes().subspan(1 + prefix_size);
  store<std::endian::big>(index, at.first<4>());
  std::copy(packet.begin(), packet.end(), at.begin() + 4);
  return message;
}

ShortMessage BatchHash::node(std::uint8_t level, std::uint32_t index, ByteView left,
                             ByteView right) const noexcept {
  ShortMessage message = node_;
  const ByteSpan at = message.bytes().subspan(1 + prefix_size);
  at[0] = level;
  store<std::endian::big>(index, at.subspan(1).first<4>());
  std::memcpy(&at[5], left.data(), 16);
  std::memcpy(&at[5 + 16], right.data(), 16);
  return message;
}

Digest BatchHash::wide_node(std::uint8_t level, std::uint32_t index, ByteView left,
                            ByteView right) const noexcept {
  ShortMessage narrow = node_;
  Message<wide_node_size> message;
  message.bytes(narrow.bytes().first(1 + prefix_size))
      .number(level)
      .number(index)
      .bytes(left)
      .bytes(right);
  return sha256(message.view());
}

void NodeHasher::leaf(std::uint32_t index, const Digest& packet, Digest& out) noexcept {
  add(hash_.leaf(index, packet), out);
}

void NodeHasher::node(std::uint8_t level, std::uint32_t index, ByteView left, ByteView right,
                      Digest& out) noexcept {
  if (hash_.node_size() == 16) {
    add(hash_.node(level, index, left, right), out);
  } else {
    out = hash_.wide_node(level, index, left, right);
  }
}

void NodeHasher::add(const ShortMessage& message, Digest& out) noexcept {
  messages_[used_] = message;
  places_[used_] = &out;
  if (++used_ == at_once) flush();
}

void NodeHasher::flush() noexcept {
  ShortMessage::hash_all(std::span(messages_).first(used_), std::span(places_).first(used_));
  used_ = 0;
}

Statement make_statement(const KeyScope& scope, const BatchId& batch, const Digest& root) noexcept {
  Message<statement_size> message;
  message.bytes({reinterpret_cast<const std::uint8_t*>(domain.data()), domain.size()});
  message.number(wire_version).number(static_cast<std::uint8_t>(scope.suite));
  message.number(static_cast<std::uint8_t>(node_size(scope.suite)));
  message.bytes(scope.session).number(scope.direction).number(scope.key).number(batch.lane);
  message.number(batch.number)
      .number(batch.count)
      .bytes(batch.salt)
      .bytes(scope.pcr_digest)
      .bytes(root);
  return message.all();
}

// A tree of n leaves has at most 2n + 15 nodes when promoted ones are counted at each level.
BatchTree::BatchTree(std::size_t capacity) : nodes_(2 * std::min(capacity, max_batch) + 16) {}

Digest BatchTree::build(const BatchHash& hash, std::span<const Digest> packets) noexcept {
  if (packets.empty() || 2 * packets.size() + 16 > nodes_.size())
    panic("BatchTree: not a batch of its size");
  node_size_ = hash.node_size();
  count_ = static_cast<std::uint32_t>(packets.size());
  NodeHasher hasher(hash);
  for (std::uint32_t i = 0; i < count_; ++i) hasher.leaf(i, packets[i], nodes_[i]);
  hasher.flush();
  std::size_t below = 0;
  std::size_t above = count_;
  std::uint32_t width = count_;
  for (std::uint8_t level = 1; width > 1; ++level) {
    const std::uint32_t next = (width + 1) >> 1U;
    for (std::uint32_t j = 0; j < next; ++j) {
      const Digest* pair = &nodes_[below + std::size_t{2} * j];
      if (2 * j + 1 < width) {
        hasher.node(level, j, ByteView(pair[0]).first(node_size_),
                    ByteView(pair[1]).first(node_size_), nodes_[above + j]);
      } else {
        nodes_[above + j] = pair[0];
      }
    }
    hasher.flush();
    below = above;
    above += next;
    width = next;
  }
  return nodes_[below];
}

void BatchTree::copy_path(std::uint32_t index, ByteSpan out) const noexcept {
  std::size_t level = 0;
  for (std::uint32_t width = count_; width > 1; index >>= 1U) {
    const std::uint32_t sibling = index ^ 1U;
    if (sibling < width) {
      std::memcpy(out.data(), nodes_[level + sibling].data(), node_size_);
      out = out.subspan(node_size_);
    }
    level += width;
    width = (width + 1) >> 1U;
  }
}

}  // namespace cs
