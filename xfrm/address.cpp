// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace cs::net {
namespace {

// Whether two addresses have the first `length` bits in common.
bool share(const Address& a, const Address& b, std::uint8_t length) noexcept {
  const std::size_t whole = length / 8;
  const unsigned rest = length % 8;
  return std::equal(a.bytes.begin(), a.bytes.begin() + whole, b.bytes.begin()) &&
         (rest == 0 || (a.bytes[whole] ^ b.bytes[whole]) >> (8 - rest) == 0);
}

Error malformed(std::string_view text, std::string_view what) {
  constexpr std::size_t most = 64;
  return {ErrorKind::invalid,
          "reading '" + std::string(text.substr(0, most)) + "': it is " + std::string(what)};
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
  Address address;
  const std::string ended(text.substr(0, INET6_ADDRSTRLEN));
  address.ipv6 = ended.find(':') != std::string::npos;
  const bool nul_inside = text.find('\0') != std::string_view::npos;
  if (ended.size() < text.size() || nul_inside ||
      inet_pton(address.ipv6 ? AF_INET6 : AF_INET, ended.c_str(), address.bytes.data()) != 1) {
    return malformed(text, "no IP address");
  }
  return address;
}

std::string Address::text() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  inet_ntop(ipv6 ? AF_INET6 : AF_INET, bytes.data(), out.data(), out.size());
  return out.data();
}

bool Prefix::contains(const Prefix& other) const noexcept {
  return address.ipv6 == other.address.ipv6 && length <= other.length &&
         share(address, other.address, length);
}

Result<Prefix> Prefix::make(const Address& address, std::uint8_t length) {
  const Prefix made{address, length};
  if (length > address.bits()) return malformed(made.text(), "a prefix longer than its address");
  for (std::size_t bit = length; bit < address.bits(); ++bit) {
    if ((address.bytes[bit / 8] & (0x80U >> (bit % 8))) != 0) {
      return malformed(made.text(), "a prefix with bits behind its length");
    }
  }
  return made;
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  CS_TRY(const Address address, Address::parse(text.substr(0, slash)));
  if (slash == std::string_view::npos) return make(address, address.bits());
  const std::string_view digits = text.substr(slash + 1);
  std::uint8_t length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return malformed(text, "no prefix: its length is no number");
  }
  return make(address, length);
}

std::string Prefix::text() const {
  return address.text() + "/" + std::to_string(length);
}

}  // namespace cs::net
