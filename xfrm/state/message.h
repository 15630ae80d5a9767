// SPDX-License-Identifier: GPL-3.0-or-later
// XFRM messages of the kernel, read. Plain functions over bytes, no sockets. Whatever they are
// given, they read no byte behind it, and what they return holds no byte of a key.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "xfrm/netlink/message.h"
#include "xfrm/state/model.h"

namespace cs::xfrm {

// Of the payload of XFRM_MSG_NEWSA or XFRM_MSG_UPDSA, an answer or an event.
Result<Sa> parse_sa(ByteView payload);
// Of XFRM_MSG_NEWPOLICY or XFRM_MSG_UPDPOLICY.
Result<Policy> parse_policy(ByteView payload);
// Of XFRM_MSG_GETDEFAULT.
Result<Defaults> parse_defaults(ByteView payload);
// Of whatever the kernel tells of its own accord. A type this program does not know is an Event of
// Kind::unknown, no failure.
Result<Event> parse_event(const netlink::Message& message);

}  // namespace cs::xfrm
