// SPDX-License-Identifier: GPL-3.0-or-later
// Addresses and prefixes of both families, in the form routes have them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace cs::net {

struct Address {
  bool ipv6 = false;
  std::array<std::uint8_t, 16> bytes{};  // IPv4: the first four, the others are zero

  [[nodiscard]] std::uint8_t bits() const noexcept { return ipv6 ? 128 : 32; }
  [[nodiscard]] ByteView view() const noexcept { return ByteView(bytes).first(ipv6 ? 16 : 4); }
  bool operator==(const Address&) const = default;

  // As people write them, without port, brackets or zone.
  static Result<Address> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
};

struct Prefix {
  Address address;  // bits behind the length are zero
  std::uint8_t length = 0;

  bool operator==(const Prefix&) const = default;
  // Whether all of `other` lies in this one, which holds for equal ones.
  [[nodiscard]] bool contains(const Prefix& other) const noexcept;

  // "192.168.2.0/24"; an address alone is one of full length. Refuses bits behind the length.
  static Result<Prefix> parse(std::string_view text);
  // Fails if the length is too long or bits are behind it.
  static Result<Prefix> make(const Address& address, std::uint8_t length);
  [[nodiscard]] std::string text() const;
};

}  // namespace cs::net
