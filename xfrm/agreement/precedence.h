// SPDX-License-Identifier: GPL-3.0-or-later
// Which policy the kernel applies where several fit: the lowest priority; never one of another
// direction. Among equals some kernels take the one made first, others one between two hosts, and
// none tells which was made first: it lists what was changed last before the rest. So of equals
// nobody knows. A socket's own policies go before all of these and stand apart.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "xfrm/state/model.h"

namespace cs::xfrm {

// Whether some packet fits both. What the kernel does not look at (a selector's user) does not
// tell them apart, nor does a security context, of which only its module knows whom it fits.
[[nodiscard]] bool overlap(const Selector& a, const Selector& b) noexcept;
[[nodiscard]] bool overlap(const Policy& a, const Policy& b) noexcept;
// Whether each packet that fits `part` fits `all` too.
[[nodiscard]] bool covers(const Selector& all, const Selector& part) noexcept;
[[nodiscard]] bool covers(const Policy& all, const Policy& part) noexcept;

// Policies by their place in precedence and by their networks. Refers to the policies, which must
// outlive it and not change.
class PolicyIndex {
 public:
  explicit PolicyIndex(const std::vector<Policy>& policies);

  // Positions in `policies`, the lowest priority first. Those of sockets are not among them.
  [[nodiscard]] const std::vector<std::size_t>& order() const noexcept { return order_; }

  // Calls take(position) for each policy of this direction, and perhaps some more, whose networks
  // overlap the selector's, in no order; ends when it returns false. Takes time for those and for
  // few others.
  template <class Take>
  bool each_near(Direction direction, const Selector& selector, Take&& take) const {
    const Networks& networks = networks_.at(static_cast<std::size_t>(direction));
    const Prefix& wanted = networks.by_source ? selector.source : selector.destination;
    for (const auto& [length, entries] : networks.by_length) {
      const auto [begin, end] = range(entries, wanted, length);
      for (std::size_t i = begin; i < end; ++i) {
        if (!take(entries[i].position)) return false;
      }
    }
    return true;
  }

 private:
  struct Entry {
    Address address;
    std::size_t position = 0;
  };
  struct Span {
    std::size_t begin;
    std::size_t end;
  };
  // By the end that has more different networks, each length apart and sorted.
  struct Networks {
    bool by_source = false;
    std::map<std::uint8_t, std::vector<Entry>> by_length;
  };

  static Span range(const std::vector<Entry>& entries, const Prefix& wanted, std::uint8_t length);
  void sort_networks(const std::vector<Policy>& policies, Direction direction);

  std::vector<std::size_t> order_;
  std::array<Networks, 3> networks_;  // in, out, forward
};

}  // namespace cs::xfrm
