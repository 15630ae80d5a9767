// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/inbound.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace cs {

namespace {

constexpr std::size_t max_levels = 16;  // of 32768 leaves: 2^15, and the top

// The proved nodes of one verified batch, but for the root, which is not truncated. Small trees are
// kept whole; of large ones the upper levels.
class NodeCache {
 public:
  explicit NodeCache(std::size_t capacity) : nodes_(capacity * sizeof(Digest)), known_(capacity) {}

  void reset(std::uint32_t count, std::size_t node_size) noexcept {
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
  // Null: not proved yet, or not kept.
  [[nodiscard]] const std::uint8_t* find(std::size_t level, std::uint32_t index) const noexcept {
    if (offsets_[level] == not_kept || known_[offsets_[level] + index] == 0) return nullptr;
    return &nodes_[(offsets_[level] + index) * node_size_];
  }
  void keep(std::size_t level, std::uint32_t index, ByteView node) noexcept {
    if (offsets_[level] == not_kept) return;
    std::memcpy(&nodes_[(offsets_[level] + index) * node_size_], node.data(), node_size_);
    known_[offsets_[level] + index] = 1;
  }

 private:
  static constexpr std::size_t not_kept = ~std::size_t{0};

  std::vector<std::uint8_t> nodes_;
  std::vector<std::uint8_t> known_;
  std::array<std::size_t, max_levels> offsets_{};
  std::size_t node_size_ = 16;
};

// A batch whose root is signed.
struct VerifiedBatch {
  explicit VerifiedBatch(std::size_t nodes) : cache(nodes) {}

  bool used = false;
  BatchId id;
  Signature signature{};
  Digest root{};
  BatchHash hash;
  NodeCache cache;

  void remember(const Extension& extension, const BatchId& as, const BatchHash& by,
                const Digest& proved_root) noexcept {
    used = true;
    id = as;
    hash = by;
    root = proved_root;
    std::copy(extension.signature.begin(), extension.signature.end(), signature.begin());
    cache.reset(as.count, by.node_size());
  }
};

struct Lane {
  std::uint64_t highest = 0;
  std::vector<VerifiedBatch> window;  // empty until a batch verified

  void open(std::size_t batches, std::size_t nodes) {
    window.reserve(batches);
    while (window.size() < batches) window.emplace_back(nodes);
  }
  // Where a batch is or would be; null before open(). The one that is there is never a newer one:
  // two that share a place are a window apart, and the older is stale by then.
  [[nodiscard]] VerifiedBatch* slot(std::uint64_t batch) noexcept {
    return window.empty() ? nullptr : &window[batch % window.size()];
  }

  [[nodiscard]] bool is_stale(std::uint64_t batch) const noexcept {
    return !window.empty() && batch < highest && highest - batch >= window.size();
  }
};

BatchId id_of(const Extension& extension) noexcept {
  BatchId id{extension.fields.batch, extension.fields.lane, extension.fields.count, {}};
  std::copy(extension.salt.begin(), extension.salt.end(), id.salt.begin());
  return id;
}

bool same_node(ByteView node, const std::uint8_t* proved) noexcept {
  return std::equal(node.begin(), node.end(), proved);
}

// One packet's way up its tree. What it met is the packet's word until the root is known to be
// right.
class Walk {
 public:
  enum class Met : std::uint8_t { proved, root, conflict };

  // `cache`: of the batch, if it has verified.
  Walk(const BatchHash& hash, const NodeCache* cache) noexcept : hash_(hash), cache_(cache) {}

  Met up(const ExtensionFields& fields, const Digest& digest, ByteView path) noexcept {
    const std::size_t n = hash_.node_size();
    std::uint32_t index = fields.index;
    std::uint32_t width = fields.count;
    root_ = hash_.leaf(index, digest);
    for (std::size_t level = 0; width > 1; ++level, index >>= 1U, width = (width + 1) >> 1U) {
      if (const std::uint8_t* proved = cache_ == nullptr ? nullptr : cache_->find(level, index)) {
        const bool is_it = same_node(ByteView(root_).first(n), proved);
        return is_it && shows_proved_siblings(level, index, width, path) ? Met::proved
                                                                         : Met::conflict;
      }
      Step& step = steps_[levels_++];
      step = {index, root_, {}};
      if ((index ^ 1U) >= width) continue;  // promoted
      step.sibling = path.first(n);
      path = path.subspan(n);
      const ByteView own = ByteView(step.own).first(n);
      const bool is_left = index % 2 == 0;
      root_ = hash_.node(static_cast<std::uint8_t>(level + 1), index >> 1U,
                         is_left ? own : step.sibling, is_left ? step.sibling : own);
    }
    return Met::root;
  }

  // After Met::root.
  [[nodiscard]] const Digest& root() const noexcept { return root_; }

  void keep_in(NodeCache& proved) const noexcept {
    for (std::size_t level = 0; level < levels_; ++level) {
      const Step& step = steps_[level];
      proved.keep(level, step.index, step.own);
      if (!step.sibling.empty()) proved.keep(level, step.index ^ 1U, step.sibling);
    }
  }

 private:
  struct Step {
    std::uint32_t index = 0;
    Digest own{};      // its first bytes are the node
    ByteView sibling;  // empty: promoted
  };

  // Above a proved node all siblings were proved with it; the packet has to show the same ones.
  [[nodiscard]] bool shows_proved_siblings(std::size_t level, std::uint32_t index,
                                           std::uint32_t width, ByteView path) const noexcept {
    const std::size_t n = hash_.node_size();
    for (; width > 1; ++level, index >>= 1U, width = (width + 1) >> 1U) {
      if ((index ^ 1U) >= width) continue;
      const std::uint8_t* proved = cache_->find(level, index ^ 1U);
      if (proved == nullptr || !same_node(path.first(n), proved)) return false;
      path = path.subspan(n);
    }
    return true;
  }

  const BatchHash& hash_;
  const NodeCache* cache_;
  std::array<Step, max_levels> steps_;
  std::size_t levels_ = 0;
  Digest root_{};
};

// A further packet of a batch that has verified.
bool verify_with(VerifiedBatch& batch, const Extension& extension, const Digest& digest) noexcept {
  const bool same_batch =
      batch.id.count == extension.fields.count &&
      std::equal(extension.salt.begin(), extension.salt.end(), batch.id.salt.begin()) &&
      std::equal(extension.signature.begin(), extension.signature.end(), batch.signature.begin());
  if (!same_batch) return false;
  Walk walk(batch.hash, &batch.cache);
  const Walk::Met met = walk.up(extension.fields, digest, extension.path);
  if (met == Walk::Met::conflict || (met == Walk::Met::root && walk.root() != batch.root))
    return false;
  walk.keep_in(batch.cache);
  return true;
}

}  // namespace

struct Verifier::Key {
  explicit Key(InboundKey given) : record(std::move(given)), lanes(record.lanes.size()) {}

  [[nodiscard]] Lane& lane(std::uint16_t number) noexcept {
    return lanes[number - std::size_t{record.lanes.first}];
  }

  InboundKey record;
  std::vector<Lane> lanes;  // of the range
};

Verifier::Verifier(const Options& options) : options_(options) {}
Verifier::Verifier(Verifier&&) noexcept = default;
Verifier& Verifier::operator=(Verifier&&) noexcept = default;
Verifier::~Verifier() = default;

Verifier::Key* Verifier::find(std::uint32_t id) const noexcept {
  const auto is_it = [id](const auto& key) { return key->record.scope.key == id; };
  const auto found = std::find_if(keys_.begin(), keys_.end(), is_it);
  return found == keys_.end() ? nullptr : found->get();
}

namespace {

std::string adding(std::uint32_t key) {
  return "adding key " + std::to_string(key);
}

}  // namespace

Result<void> Verifier::check_lanes(const LaneRange& lanes) const {
  if (lanes.last < lanes.first) return Error(ErrorKind::invalid, "its lanes end before they begin");
  if (lanes.size() > options_.max_lanes) {
    return Error(ErrorKind::limit,
                 "it has more than " + std::to_string(options_.max_lanes) + " lanes");
  }
  return {};
}

Result<void> Verifier::add_key(InboundKey key) {
  const std::uint32_t id = key.scope.key;
  if (auto checked = check_lanes(key.lanes); !checked.ok())
    return std::move(checked).error().context(adding(id));
  if (find(id) != nullptr)
    return Error(ErrorKind::exists, adding(id) + ": there is one with that id");
  if (keys_.size() >= options_.max_keys) {
    return Error(ErrorKind::limit,
                 adding(id) + ": there are " + std::to_string(keys_.size()) + " already");
  }
  keys_.push_back(std::make_unique<Key>(std::move(key)));
  return {};
}

Result<void> Verifier::change_key(std::uint32_t id, const LaneRange& lanes, KeyEnd end) {
  if (auto checked = check_lanes(lanes); !checked.ok())
    return std::move(checked).error().context(adding(id));
  Key* const key = find(id);
  if (key == nullptr)
    return Error(ErrorKind::not_found, adding(id) + ": it is not there to be changed");
  std::vector<Lane> kept(lanes.size());
  for (std::size_t lane = lanes.first; lane <= lanes.last; ++lane) {
    const auto number = static_cast<std::uint16_t>(lane);
    if (key->record.lanes.contains(number)) kept[lane - lanes.first] = std::move(key->lane(number));
  }
  key->lanes = std::move(kept);
  key->record.lanes = lanes;
  key->record.end = end;
  return {};
}

bool Verifier::remove_key(std::uint32_t id) {
  return std::erase_if(keys_, [id](const auto& key) { return key->record.scope.key == id; }) != 0;
}

Reason Verifier::admit(const Layout& at, ByteView packet, const Now& now,
                       Candidate& out) const noexcept {
  if (const Reason reason = parse_extension(at, packet, out.extension); reason != Reason::none)
    return reason;
  const ExtensionFields& fields = out.extension.fields;
  out.key = find(fields.key);
  if (out.key == nullptr || out.key->record.scope.suite != fields.suite) return Reason::unknown_key;
  const InboundKey& record = out.key->record;
  if (record.end.is_over(now)) return Reason::expired_key;
  if (!record.lanes.contains(fields.lane)) return Reason::unknown_lane;
  if (record.scope.pcr_tag() != fields.pcr_tag) return Reason::pcr_mismatch;
  if (out.key->lane(fields.lane).is_stale(fields.batch)) return Reason::stale;
  return Reason::none;
}

Reason Verifier::verify(const Candidate& candidate, const Digest& digest) noexcept {
  const Extension& extension = candidate.extension;
  const ExtensionFields& fields = extension.fields;
  const InboundKey& record = candidate.key->record;
  Lane& lane = candidate.key->lane(fields.lane);
  // Packets of one burst are admitted together, so the lane may have moved on since.
  if (lane.is_stale(fields.batch)) return Reason::stale;
  if (!record.gate.admits(digest, extension.all, extension.tag)) return Reason::bad_tag;

  VerifiedBatch* known = lane.slot(fields.batch);
  if (known != nullptr && known->used && known->id.number == fields.batch) {
    return verify_with(*known, extension, digest) ? Reason::none : Reason::bad_path;
  }
  const BatchId id = id_of(extension);
  const BatchHash hash(record.scope, id);
  Walk walk(hash, nullptr);
  walk.up(fields, digest, extension.path);
  ++signatures_checked_;
  if (!record.verifying.verifies(make_statement(record.scope, id, walk.root()),
                                 extension.signature)) {
    return Reason::bad_signature;
  }
  if (known == nullptr) {
    lane.open(options_.window, options_.cached_nodes);
    known = lane.slot(fields.batch);
  }
  known->remember(extension, id, hash, walk.root());
  walk.keep_in(known->cache);
  lane.highest = std::max(lane.highest, fields.batch);
  return Reason::none;
}

}  // namespace cs
