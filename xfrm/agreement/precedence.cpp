// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/agreement/precedence.h"

#include <algorithm>
#include <tuple>

namespace cs::xfrm {
namespace {

auto sort_key(const Address& address) {
  return std::tie(address.ipv6, address.bytes);
}

bool before(const Address& a, const Address& b) noexcept {
  return sort_key(a) < sort_key(b);
}

// The first and the last address of the prefix.
std::pair<Address, Address> bounds(const Address& address, std::uint8_t length) noexcept {
  std::pair<Address, Address> out{address, address};
  for (std::size_t byte = length / 8; byte < address.view().size(); ++byte) {
    const unsigned kept = byte == length / 8 ? length % 8 : 0;
    const auto mask = static_cast<std::uint8_t>(0xffU >> kept);
    out.first.bytes.at(byte) &= static_cast<std::uint8_t>(~mask);
    out.second.bytes.at(byte) |= mask;
  }
  return out;
}

bool overlap(const Prefix& a, const Prefix& b) noexcept {
  return a.length <= b.length ? a.contains(b) : b.contains(a);
}

// Of marks and ports: value under mask.
template <class T>
bool some_fit(T a, T a_mask, T b, T b_mask) noexcept {
  return ((a ^ b) & a_mask & b_mask) == 0;
}
template <class T>
bool all_fit(T all, T all_mask, T part, T part_mask) noexcept {
  return (all_mask & ~part_mask) == 0 && ((all ^ part) & all_mask) == 0;
}

// The kernel compares all bits of the value: with some outside the mask it fits nothing.
bool fits_nothing(const Mark& mark) noexcept {
  return (mark.value & ~mark.mask) != 0;
}

std::size_t count_different(const std::vector<Policy>& policies, const std::vector<std::size_t>& of,
                            Prefix Selector::*end) {
  std::vector<const Prefix*> all;
  all.reserve(of.size());
  for (const std::size_t one : of) all.push_back(&(policies[one].selector.*end));
  const auto key = [](const Prefix* p) {
    return std::tuple_cat(sort_key(p->address), std::tie(p->length));
  };
  std::sort(all.begin(), all.end(), [&](auto* a, auto* b) { return key(a) < key(b); });
  const auto last = std::unique(all.begin(), all.end(), [](auto* a, auto* b) { return *a == *b; });
  return static_cast<std::size_t>(last - all.begin());
}

}  // namespace

bool overlap(const Selector& a, const Selector& b) noexcept {
  if (a.any_family || b.any_family) return true;
  return overlap(a.source, b.source) && overlap(a.destination, b.destination) &&
         (a.protocol == 0 || b.protocol == 0 || a.protocol == b.protocol) &&
         some_fit<unsigned>(a.source_ports.port, a.source_ports.mask, b.source_ports.port,
                            b.source_ports.mask) &&
         some_fit<unsigned>(a.destination_ports.port, a.destination_ports.mask,
                            b.destination_ports.port, b.destination_ports.mask) &&
         (a.interface == 0 || b.interface == 0 || a.interface == b.interface);
}

bool overlap(const Policy& a, const Policy& b) noexcept {
  return a.direction == b.direction && a.interface_id == b.interface_id && !fits_nothing(a.mark) &&
         !fits_nothing(b.mark) && some_fit(a.mark.value, a.mark.mask, b.mark.value, b.mark.mask) &&
         overlap(a.selector, b.selector);
}

bool covers(const Selector& all, const Selector& part) noexcept {
  if (all.any_family || part.any_family) return all.any_family;
  return all.source.contains(part.source) && all.destination.contains(part.destination) &&
         (all.protocol == 0 || all.protocol == part.protocol) &&
         all_fit<unsigned>(all.source_ports.port, all.source_ports.mask, part.source_ports.port,
                           part.source_ports.mask) &&
         all_fit<unsigned>(all.destination_ports.port, all.destination_ports.mask,
                           part.destination_ports.port, part.destination_ports.mask) &&
         (all.interface == 0 || all.interface == part.interface);
}

bool covers(const Policy& all, const Policy& part) noexcept {
  return all.direction == part.direction && all.interface_id == part.interface_id &&
         !fits_nothing(all.mark) &&
         all_fit(all.mark.value, all.mark.mask, part.mark.value, part.mark.mask) &&
         all.security_context.empty() && covers(all.selector, part.selector);
}

PolicyIndex::PolicyIndex(const std::vector<Policy>& policies) {
  for (std::size_t i = 0; i < policies.size(); ++i) {
    if (!policies[i].is_of_socket()) order_.push_back(i);
  }
  std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
    return policies[a].priority < policies[b].priority;
  });
  for (const Direction one : {Direction::in, Direction::out, Direction::forward}) {
    sort_networks(policies, one);
  }
}

void PolicyIndex::sort_networks(const std::vector<Policy>& policies, Direction direction) {
  std::vector<std::size_t> mine;
  for (const std::size_t one : order_) {
    if (policies[one].direction == direction) mine.push_back(one);
  }
  Networks& networks = networks_.at(static_cast<std::size_t>(direction));
  networks.by_source = count_different(policies, mine, &Selector::source) >
                       count_different(policies, mine, &Selector::destination);
  for (const std::size_t one : mine) {
    const Selector& selector = policies[one].selector;
    const Prefix& prefix = networks.by_source ? selector.source : selector.destination;
    networks.by_length[prefix.length].push_back({prefix.address, one});
  }
  for (auto& [length, entries] : networks.by_length) {
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Entry& a, const Entry& b) { return before(a.address, b.address); });
  }
}

// Those with one network around the other, whichever is the wider.
PolicyIndex::Span PolicyIndex::range(const std::vector<Entry>& entries, const Prefix& wanted,
                                     std::uint8_t length) {
  const auto [first, last] = bounds(wanted.address, std::min(wanted.length, length));
  const auto begin =
      std::lower_bound(entries.begin(), entries.end(), first,
                       [](const Entry& e, const Address& a) { return before(e.address, a); });
  const auto end =
      std::upper_bound(begin, entries.end(), last,
                       [](const Address& a, const Entry& e) { return before(a, e.address); });
  return {static_cast<std::size_t>(begin - entries.begin()),
          static_cast<std::size_t>(end - entries.begin())};
}

}  // namespace cs::xfrm
