// SPDX-License-Identifier: GPL-3.0-or-later
// `countersign xfrm show`: what IPsec the kernel really does.
#pragma once

#include <iosfwd>
#include <optional>

#include "tools/inspect/outcome.h"
#include "xfrm/address.h"

namespace cs::xfrm {

struct ShowOptions {
  std::optional<net::Address> peer;  // only what names it
  bool json = false;
};

// Good: all of it was told. Unreadable: the kernel does not tell, or broke off. What is there is
// told as it is read, however much it is.
[[nodiscard]] inspect::Outcome show(const ShowOptions& options, std::ostream& out,
                                    std::ostream& err);

}  // namespace cs::xfrm
