// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/sa_book.h"

#include <algorithm>

#include "base/constant_time.h"
#include "xfrm/state/text.h"

namespace cs::keyms {
namespace {

std::string short_text(const xfrm::Algorithm& algorithm) {
  return algorithm.name + " " + std::to_string(algorithm.key_bits) + "/" +
         std::to_string(algorithm.icv_bits);
}

std::string protocol_name(std::uint8_t protocol) {
  return xfrm::ipsec_protocol(protocol);
}

// What differs; empty: nothing.
std::string difference(const LocalSa& ours, const SaValue& theirs) {
  const std::string name =
      protocol_name(ours.passage.protocol) + " SPI " + xfrm::spi_text(ours.passage.spi);
  if (ours.passage.protocol != theirs.protocol)
    return name + " is " + protocol_name(theirs.protocol) + " at the peer";
  if (ours.algorithms != theirs.algorithms)
    return name + " has " + ours.algorithms + " here and " + theirs.algorithms + " at the peer";
  if (constant_time_equal(ours.value, theirs.value)) return {};
  return name + " has other keys here than at the peer: somebody else negotiated it";
}

}  // namespace

std::string algorithms_of(const xfrm::Sa& sa) {
  std::string out;
  for (const auto& algorithm : {sa.aead, sa.encryption, sa.authentication}) {
    if (!algorithm) continue;
    out += (out.empty() ? "" : "+") + short_text(*algorithm);
  }
  return as_text(out);
}

void SaBook::begin_session() {
  for (auto& [name, entry] : entries_) {
    entry.theirs.reset();
    entry.former = entry.ours.has_value();
    entry.told = false;
    entry.anew = false;
    entry.disagrees = false;
    entry.alone_since.reset();
    if (entry.ours) entry.leaves.reset();
  }
  in_session_ = true;
  anew_until_ = clock_->boot() + agreed_anew_within;
  sweep();
}

// Entries of which neither side has an SA any more are gone.
void SaBook::sweep() {
  std::erase_if(entries_, [](const auto& each) {
    return !each.second.ours && !each.second.theirs && !each.second.admitted;
  });
}

void SaBook::settle(Entry& entry, Changes& changes) const {
  const bool both = entry.ours && !entry.former && entry.theirs;
  const std::string differs = both ? difference(*entry.ours, *entry.theirs) : "";
  const bool agreed = in_session_ && both && differs.empty();
  if (agreed) {
    entry.anew = true;
    entry.leaves.reset();
    if (entry.admitted == entry.ours->passage) return;
    if (entry.admitted) changes.withdraw.push_back(*entry.admitted);
    entry.admitted = entry.ours->passage;
    changes.admit.push_back(*entry.admitted);
    return;
  }
  if (!differs.empty() && !entry.disagrees) {
    entry.disagrees = true;
    changes.disagreements.push_back(differs);
  }
  // One of the former session passes on until both have said its new value.
  const bool waits = !entry.anew && entry.ours;
  const bool leaves = entry.leaves && clock_->boot() < *entry.leaves;
  if (entry.admitted && !(in_session_ && differs.empty() && (waits || leaves))) {
    changes.withdraw.push_back(*entry.admitted);
    entry.admitted.reset();
  }
}

void SaBook::leave(Entry& entry) const {
  if (entry.admitted && !entry.leaves) entry.leaves = clock_->boot() + on_the_way;
}

SaBook::Changes SaBook::set_local(std::vector<LocalSa> now) {
  Changes changes;
  std::map<Name, LocalSa> have;
  for (LocalSa& sa : now) {
    if (have.size() == most) break;
    const Name name{sa.passage.spi, static_cast<std::uint8_t>(sa.sense)};
    have.insert_or_assign(name, std::move(sa));
  }
  for (auto& [name, entry] : entries_) {
    if (!entry.ours || have.contains(name)) continue;
    entry.ours.reset();
    leave(entry);
    if (entry.told) changes.tell_gone.push_back({name.spi, name.sense});
    entry.told = false;
    settle(entry, changes);
  }
  for (auto& [name, sa] : have) {
    Entry& entry = entries_[name];
    entry.former = false;
    const bool same = entry.ours && entry.ours->value == sa.value &&
                      entry.ours->algorithms == sa.algorithms && entry.ours->passage == sa.passage;
    if (!same) {
      entry.ours = std::move(sa);
      entry.told = false;
      entry.disagrees = false;
      entry.leaves.reset();  // that was another one
    }
    if (in_session_ && !entry.told) {
      entry.told = true;
      changes.tell.push_back({name.spi, name.sense, entry.ours->passage.protocol,
                              entry.ours->algorithms, entry.ours->value});
    }
    settle(entry, changes);
  }
  sweep();
  return changes;
}

SaBook::Changes SaBook::on_peer(const Sas& told) {
  Changes changes;
  for (const SaValue& sa : told.sas) {
    const Name name{sa.spi, sa.sense};
    if (!entries_.contains(name) && entries_.size() >= 2 * most) continue;
    Entry& entry = entries_[name];
    if (entry.theirs != sa) entry.disagrees = false;
    entry.theirs = sa;
    settle(entry, changes);
  }
  return changes;
}

SaBook::Changes SaBook::on_peer(const SasGone& gone) {
  Changes changes;
  for (const SasGone::Gone& sa : gone.sas) {
    const auto found = entries_.find({sa.spi, sa.sense});
    if (found == entries_.end()) continue;
    found->second.theirs.reset();
    found->second.anew = true;
    leave(found->second);
    settle(found->second, changes);
  }
  sweep();
  return changes;
}

std::optional<BootTime> SaBook::deadline() const noexcept {
  std::optional<BootTime> first = anew_until_;
  const auto sooner = [&first](BootTime due) {
    if (!first || due < *first) first = due;
  };
  for (const auto& [name, entry] : entries_) {
    if (entry.admitted && entry.leaves) sooner(*entry.leaves);
    if (!entry.is_alone() || entry.disagrees) continue;
    sooner(entry.alone_since ? *entry.alone_since + said_within : BootTime{});
  }
  return first;
}

SaBook::Changes SaBook::tick() {
  const BootTime now = clock_->boot();
  Changes changes;
  for (auto& [name, entry] : entries_) {
    if (entry.leaves && now >= *entry.leaves) settle(entry, changes);
    if (!entry.is_alone()) {
      entry.alone_since.reset();
    } else if (!entry.alone_since) {
      entry.alone_since = now;
    } else if (now >= *entry.alone_since + said_within && !entry.disagrees) {
      entry.disagrees = true;
      changes.disagreements.push_back(
          protocol_name(entry.ours->passage.protocol) + " SPI " + xfrm::spi_text(name.spi) +
          " is no SA of the peer's: it has gone there, or somebody else negotiated it");
    }
  }
  if (anew_until_ && now >= *anew_until_) {
    anew_until_.reset();
    for (auto& [name, entry] : entries_) {
      entry.anew = true;
      settle(entry, changes);
    }
  }
  sweep();
  return changes;
}

SaBook::Changes SaBook::end() {
  in_session_ = false;
  anew_until_.reset();
  Changes changes;
  for (auto& [name, entry] : entries_) {
    entry.theirs.reset();
    entry.told = false;
    entry.anew = true;
    settle(entry, changes);
  }
  sweep();
  return changes;
}

std::size_t SaBook::admitted() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(
      entries_, [](const auto& each) { return each.second.admitted.has_value(); }));
}

}  // namespace cs::keyms
