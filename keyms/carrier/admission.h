// SPDX-License-Identifier: GPL-3.0-or-later
// Which connections that have proved nothing yet may stay. They are few, so a flood takes bounded
// memory. Those that have said nothing and those that have begun TLS have half of the places each;
// when a half is full a random one of it makes room. So neither crowds out the other, and whoever
// goes on quickly gets through. Pinned addresses have places of their own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <unordered_map>
#include <vector>

#include "keyms/carrier/refusal.h"
#include "xfrm/address.h"

namespace cs::keyms::carrier {

class Admission {
 public:
  using Id = std::uint32_t;
  static constexpr std::size_t most_of_half = 128;
  static constexpr std::size_t most = 2 * most_of_half;
  static constexpr std::size_t most_of_source = 8;  // of an IPv4 address, of an IPv6 /64
  static constexpr std::size_t most_pinned = 64;
  static constexpr std::size_t most_of_pinned = 8;

  explicit Admission(std::uint32_t seed) : random_(seed) {}

  struct Verdict {
    std::optional<Refusal> refused;
    std::optional<Id> crowded_out;  // is forgotten here already
  };
  Verdict admit(Id id, const net::Address& source, bool pinned);
  // It has said something that TLS accepts. Who is crowded out for that is forgotten here already.
  [[nodiscard]] std::optional<Id> spoke(Id id);
  // It has gone, or has proved itself. One that is not there is none.
  void forget(Id id);

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  using Source = std::vector<std::uint8_t>;
  enum Pool : std::uint8_t { silent, speaking, pinned_ones, pools };
  struct Entry {
    Source source;
    Pool pool = silent;
    std::size_t place = 0;  // in its pool
  };
  std::optional<Id> make_room(Pool in);
  void put(Id id, Entry entry);
  void take_from_pool(const Entry& entry);

  std::unordered_map<Id, Entry> entries_;
  std::array<std::vector<Id>, pools> pools_;
  std::map<Source, std::size_t> sources_;
  std::minstd_rand random_;
};

}  // namespace cs::keyms::carrier
