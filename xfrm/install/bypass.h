// SPDX-License-Identifier: GPL-3.0-or-later
// A socket beside IPsec: what it sends and receives is held against no policy of the machine, so
// that a closed tunnel between the gateways cannot lock out what would open it.
#pragma once

#include "base/result.h"

namespace cs::xfrm {

// For an IPv4 socket, or an IPv6 one that is IPV6_V6ONLY (a socket's policies are of one family).
// What a listener accepts inherits it. Needs CAP_NET_ADMIN. A socket that both families reach is
// refused.
Result<void> bypass_xfrm(int fd);

}  // namespace cs::xfrm
