// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/inbound.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

namespace cs {

namespace {

constexpr std::size_t at_once = 64;  // packets that climb together

// A batch whose root is signed.
struct VerifiedBatch {
  explicit VerifiedBatch(std::size_t nodes) : cache(nodes) {}

  bool used = false;
  BatchId id;
  Signature signature{};
  Digest root{};
  BatchHash hash;
  NodeCache cache;

  [[nodiscard]] bool is(std::uint64_t batch) const noexcept { return used && id.number == batch; }
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

// Whether this is a packet of that batch, besides its number.
bool names(const Extension& extension, std::uint16_t count, ByteView salt,
           ByteView signature) noexcept {
  return extension.fields.count == count &&
         std::equal(salt.begin(), salt.end(), extension.salt.begin()) &&
         std::equal(signature.begin(), signature.end(), extension.signature.begin());
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

Verifier::Verifier(const Options& options) : options_(options), climb_(at_once) {}
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

namespace {

// Gives each its reason, none or bad_tag.
template <class Candidate>
void check_tags(std::span<Candidate* const> candidates) noexcept {
  std::array<Gate::Job, at_once> jobs;
  while (!candidates.empty()) {
    const std::size_t count = std::min(candidates.size(), jobs.size());
    for (std::size_t i = 0; i < count; ++i) {
      const Candidate& candidate = *candidates[i];
      jobs[i] = {&candidate.key->record.gate, &candidate.digest, candidate.extension.all};
    }
    Gate::make_tags(std::span(jobs).first(count));
    for (std::size_t i = 0; i < count; ++i)
      candidates[i]->reason = jobs[i].is_right() ? Reason::none : Reason::bad_tag;
    candidates = candidates.subspan(count);
  }
}

}  // namespace

void Verifier::verify(std::span<Candidate*> candidates) noexcept {
  check_tags(std::span<Candidate* const>(candidates));
  const auto refused = std::partition(candidates.begin(), candidates.end(),
                                      [](const Candidate* c) { return c->reason == Reason::none; });
  candidates = candidates.first(static_cast<std::size_t>(refused - candidates.begin()));
  const auto batch_of = [](const Candidate* c) {
    return std::tuple(c->key, c->extension.fields.lane, c->extension.fields.batch);
  };
  const auto is_before = [&](const Candidate* a, const Candidate* b) {
    return std::tuple(batch_of(a), a->extension.fields.index) <
           std::tuple(batch_of(b), b->extension.fields.index);
  };
  if (!std::is_sorted(candidates.begin(), candidates.end(), is_before))
    std::sort(candidates.begin(), candidates.end(), is_before);
  while (!candidates.empty()) {
    const auto other = std::find_if(candidates.begin(), candidates.end(), [&](const Candidate* c) {
      return batch_of(c) != batch_of(candidates.front());
    });
    const auto count = std::min(static_cast<std::size_t>(other - candidates.begin()), at_once);
    verify_batch(candidates.first(count));
    candidates = candidates.subspan(count);
  }
}

// Packets that say they are of one batch.
void Verifier::verify_batch(std::span<Candidate* const> candidates) noexcept {
  const Extension& first = candidates.front()->extension;
  Lane& lane = candidates.front()->key->lane(first.fields.lane);
  // Packets of one burst are admitted together, so the lane may have moved on since.
  if (lane.is_stale(first.fields.batch)) {
    for (Candidate* candidate : candidates) candidate->reason = Reason::stale;
    return;
  }
  const bool agree = std::all_of(candidates.begin(), candidates.end(), [&](const Candidate* c) {
    return names(c->extension, first.fields.count, first.salt, first.signature);
  });
  if (agree && climb(candidates)) return;
  // Who is wrong shows when each is alone.
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates.size() > 1 && climb(candidates.subspan(i, 1))) continue;
    const VerifiedBatch* known = lane.slot(first.fields.batch);
    const bool is_known = known != nullptr && known->is(first.fields.batch);
    candidates[i]->reason = is_known ? Reason::bad_path : Reason::bad_signature;
  }
}

// False: not all of them are of one signed batch. Then nothing has changed.
bool Verifier::climb(std::span<Candidate* const> candidates) noexcept {
  const Candidate& first = *candidates.front();
  const Extension& extension = first.extension;
  const InboundKey& record = first.key->record;
  Lane& lane = first.key->lane(extension.fields.lane);
  std::array<Climb::Packet, at_once> memory;
  const std::span packets = std::span(memory).first(candidates.size());
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const Candidate& candidate = *candidates[i];
    packets[i] = {candidate.extension.fields.index, &candidate.digest, candidate.extension.path};
  }
  const auto answer = [&] {
    for (std::size_t i = 0; i < packets.size(); ++i) {
      if (!packets[i].is_right) candidates[i]->reason = Reason::bad_path;
    }
    return true;
  };
  VerifiedBatch* known = lane.slot(extension.fields.batch);
  if (known != nullptr && known->is(extension.fields.batch)) {
    if (!names(extension, known->id.count, known->id.salt, known->signature)) return false;
    const Climb::Met met = climb_.up(known->hash, known->id.count, packets, &known->cache);
    if (met == Climb::Met::conflict || (met == Climb::Met::root && climb_.root() != known->root))
      return false;
    climb_.keep_in(known->cache);
    return answer();
  }
  const BatchId id = id_of(extension);
  const BatchHash hash(record.scope, id);
  if (climb_.up(hash, id.count, packets, nullptr) == Climb::Met::conflict) return false;
  ++signatures_checked_;
  if (!record.verifying.verifies(make_statement(record.scope, id, climb_.root()),
                                 extension.signature)) {
    return false;
  }
  if (known == nullptr) {
    lane.open(options_.window, options_.cached_nodes);
    known = lane.slot(extension.fields.batch);
  }
  known->remember(extension, id, hash, climb_.root());
  climb_.keep_in(known->cache);
  lane.highest = std::max(lane.highest, extension.fields.batch);
  return answer();
}

}  // namespace cs
