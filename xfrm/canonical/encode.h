// SPDX-License-Identifier: GPL-3.0-or-later
// The items of the canonical form; for canonicalise() alone.
#pragma once

#include "base/cbor_writer.h"
#include "xfrm/state/model.h"

namespace cs::xfrm::canonical {

// Which ends' addresses are not agreed, and so not told.
struct Unagreed {
  bool source = false;
  bool destination = false;
};

void encode(const Policy& policy, std::size_t level, const Unagreed& unagreed, CborWriter& out);
void encode(const Sa& sa, bool inbound, const Unagreed& unagreed, CborWriter& out);

}  // namespace cs::xfrm::canonical
