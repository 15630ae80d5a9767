// SPDX-License-Identifier: GPL-3.0-or-later
// Which SA a packet names, read from its headers. For packets the gate has sorted out already; what
// is more complicated than what kernels send is nobody's.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "xfrm/state/model.h"

namespace cs::xfrm {

// Of ESP in UDP the protocol is ESP. nullopt: a fragment, IPv6 with extension headers, IKE, a
// keepalive, or nothing that names an SA.
std::optional<SaName> sa_of(ByteView packet) noexcept;

}  // namespace cs::xfrm
