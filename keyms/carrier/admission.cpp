// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/carrier/admission.h"

#include <utility>

namespace cs::keyms::carrier {

namespace {

// A host has a whole /64 of IPv6 to call from.
std::vector<std::uint8_t> source_of(const net::Address& address) {
  constexpr std::size_t network = 8;
  const ByteView bytes = address.view().first(address.ipv6 ? network : address.view().size());
  return {bytes.begin(), bytes.end()};
}

}  // namespace

void Admission::put(Id id, Entry entry) {
  std::vector<Id>& pool = pools_.at(entry.pool);
  entry.place = pool.size();
  pool.push_back(id);
  entries_[id] = std::move(entry);
}

// The pool's last takes its place.
void Admission::take_from_pool(const Entry& entry) {
  std::vector<Id>& pool = pools_.at(entry.pool);
  pool.at(entry.place) = pool.back();
  entries_.at(pool.back()).place = entry.place;
  pool.pop_back();
}

Admission::Verdict Admission::admit(Id id, const net::Address& source, bool pinned) {
  Entry entry{source_of(source), pinned ? pinned_ones : silent, 0};
  const auto known = sources_.find(entry.source);
  const std::size_t from_there = known == sources_.end() ? 0 : known->second;
  if (from_there >= (pinned ? most_of_pinned : most_of_source))
    return {Refusal::source_limit, std::nullopt};
  Verdict verdict;
  if (pinned) {
    if (pools_[pinned_ones].size() >= most_pinned) return {Refusal::crowded_out, std::nullopt};
  } else {
    verdict.crowded_out = make_room(silent);
  }
  ++sources_[entry.source];
  put(id, std::move(entry));
  return verdict;
}

std::optional<Admission::Id> Admission::make_room(Pool in) {
  const std::vector<Id>& pool = pools_.at(in);
  if (pool.size() < most_of_half) return std::nullopt;
  const Id crowded_out = pool.at(random_() % pool.size());
  forget(crowded_out);
  return crowded_out;
}

std::optional<Admission::Id> Admission::spoke(Id id) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.pool != silent) return std::nullopt;
  const std::optional<Id> crowded_out = make_room(speaking);
  Entry entry = found->second;
  take_from_pool(entry);
  entry.pool = speaking;
  put(id, std::move(entry));
  return crowded_out;
}

void Admission::forget(Id id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  take_from_pool(found->second);
  const auto source = sources_.find(found->second.source);
  if (--source->second == 0) sources_.erase(source);
  entries_.erase(found);
}

}  // namespace cs::keyms::carrier
