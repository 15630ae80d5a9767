// SPDX-License-Identifier: GPL-3.0-or-later
// A value that only who holds an SA's keys can know, for one session: two gateways that compute the
// same have one SA between them and not each one with somebody else. Format: docs/PROTOCOL.md.
// The only place that looks at the keys of an SA.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "xfrm/netlink/socket.h"
#include "xfrm/state/model.h"

namespace cs::xfrm {

using Binding = std::array<std::uint8_t, 32>;

// Of the session's two sides, not of one gateway's in and out: both say the same of an SA.
enum class Sense : std::uint8_t { to_responder = 1, to_initiator = 2 };

inline constexpr std::size_t max_session_id = 64;

// Asks the kernel for the SA's keys; they are gone from our memory when this returns. `not_found`:
// no such SA. `unsupported`: the kernel hides the keys (lockdown), or the SA has none.
Result<Binding> bind_sa(netlink::Socket& socket, const SaId& id, ByteView session_id, Sense sense);

// The same of an XFRM_MSG_NEWSA's payload, which stays the caller's to wipe.
Result<Binding> binding_of(ByteView payload, ByteView session_id, Sense sense);

}  // namespace cs::xfrm
