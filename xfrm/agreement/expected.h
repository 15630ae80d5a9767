// SPDX-License-Identifier: GPL-3.0-or-later
// What one gateway's kernel has when it keeps to the agreement.
#pragma once

#include <vector>

#include "base/result.h"
#include "xfrm/agreement/agreement.h"

namespace cs::xfrm {

struct ExpectedPolicy {
  std::optional<std::size_t> tunnel;  // nullopt: an agreed bypass
  // As the kernel should have it, without reqid, SPI and index; its priority only orders these
  // among themselves. A template's address that is all zero may be any.
  Policy policy;
};

struct ExpectedSa {
  std::size_t tunnel = 0;
  bool inbound = false;
  // With the first of the tunnel's proposals, without SPI and reqid; the same for addresses.
  Sa sa;
};

// Of one end. Refers to nothing.
struct Expected {
  Agreement agreement;
  End end = End::left;
  std::vector<ExpectedPolicy> policies;  // in precedence: bypasses, then the longer prefixes
  std::vector<ExpectedSa> sas;           // of each tunnel the one in, then the one out
};

// Fails where the agreement does not validate.
Result<Expected> expect(const Agreement& agreement, End end);

// The address where it is not known before.
[[nodiscard]] bool is_any(const Address& address) noexcept;

// As they stand in a tunnel's templates and SAs: what one end sends to the other.
struct Endpoints {
  Address source;
  Address destination;
};
[[nodiscard]] Endpoints endpoints(const Tunnel& tunnel, End from);

}  // namespace cs::xfrm
