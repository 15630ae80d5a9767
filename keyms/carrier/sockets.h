// SPDX-License-Identifier: GPL-3.0-or-later
// The TCP sockets of the network worker. keymsd makes them, because it may set them beside IPsec
// (xfrm/install/bypass.h, CAP_NET_ADMIN) and the worker may not; what a listener accepts is beside
// IPsec as well.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "keyms/carrier/service_protocol.h"

namespace cs::keyms::carrier {

// No: for tests without privileges.
enum class BesideIpsec : std::uint8_t { no, yes };

Result<UniqueFd> listen_for_peers(const Endpoint& endpoint, BesideIpsec beside);
// Connecting, and perhaps connected. For `dial`.
Result<UniqueFd> call_peer(const Endpoint& endpoint, BesideIpsec beside);

}  // namespace cs::keyms::carrier
