// SPDX-License-Identifier: GPL-3.0-or-later
// What several XFRM messages have in common, read. For message.cpp and its neighbours.
#pragma once

#include <linux/xfrm.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "xfrm/netlink/message.h"
#include "xfrm/state/model.h"

namespace cs::xfrm::fields {

// Those this program knows and the system's headers may not.
inline constexpr std::uint16_t attribute_sa_direction = 33;

[[nodiscard]] inline Error broken(const std::string& what) {
  return {ErrorKind::invalid, "reading the kernel's IPsec state: " + what};
}

// Bits behind `length` cleared.
Result<Prefix> prefix(const xfrm_address_t& raw, std::uint16_t family, std::uint8_t length);
// Fails unless the family is IPv4 or IPv6.
Result<Address> address(const xfrm_address_t& raw, std::uint16_t family);
Result<Selector> selector(const xfrm_selector& raw);
[[nodiscard]] Lifetime lifetime(const xfrm_lifetime_cfg& raw);
[[nodiscard]] Usage usage(const xfrm_lifetime_cur& raw);
Result<Mode> mode(std::uint8_t raw);
Result<Share> share(std::uint8_t raw);

// Attributes that SAs and policies both have.
Result<Mark> mark(const netlink::Attribute& attribute);
Result<Offload> offload(const netlink::Attribute& attribute);
Result<std::string> security_context(const netlink::Attribute& attribute);
template <class T>
Result<T> number(const netlink::Attribute& attribute) {
  const auto value = netlink::number_of<T>(attribute);
  if (value) return *value;
  return broken("attribute " + std::to_string(attribute.type) + " has the wrong length");
}
// The first sizeof(T) bytes of a message's payload or an attribute.
template <class T>
Result<T> structure(ByteView bytes, const std::string& name) {
  const auto value = netlink::first_of<T>(bytes);
  if (value) return *value;
  return broken(name + " is " + std::to_string(bytes.size()) + " bytes short of its structure");
}

// Each attribute of the row behind a message's fixed header. The kernel sends none twice.
template <class Take>
Result<void> each_attribute(ByteView payload, std::size_t fixed, Take take) {
  if (payload.size() < fixed) return broken("a message ends before its attributes");
  const std::size_t at = (fixed + 3) & ~std::size_t{3};
  netlink::Attributes row(payload.subspan(std::min(payload.size(), at)));
  std::uint64_t seen = 0;
  while (const auto attribute = row.next()) {
    const std::uint64_t bit = attribute->type < 64 ? std::uint64_t{1} << attribute->type : 0;
    if ((seen & bit) != 0) {
      return broken("attribute " + std::to_string(attribute->type) + " is there twice");
    }
    seen |= bit;
    CS_CHECK(take(*attribute));
  }
  return row.is_malformed() ? Result<void>(broken("an attribute is not wholly there"))
                            : Result<void>();
}

// As it is, for a person to see. At most a few: nobody has more.
Result<void> keep_unknown(const netlink::Attribute& attribute, std::vector<Opaque>& out);

// An SA of its fixed part and the attributes behind the first `fixed` bytes of the payload.
Result<Sa> sa(const xfrm_usersa_info& info, ByteView payload, std::size_t fixed);
Result<Policy> policy(const xfrm_userpolicy_info& info, ByteView payload, std::size_t fixed);

}  // namespace cs::xfrm::fields
