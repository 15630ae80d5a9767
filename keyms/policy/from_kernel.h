// SPDX-License-Identifier: GPL-3.0-or-later
// A core policy drawn from the kernel's IPsec state.
#pragma once

#include <optional>

#include "base/result.h"
#include "keyms/policy/draw.h"
#include "xfrm/state/model.h"

namespace cs::keyms {

// Of the tunnels with one peer, which may be left out where there is only one. What the kernel does
// is then as agreed, wherever a policy can say it; the notes say where it cannot.
Result<Drawn> from_kernel(const xfrm::State& state, const std::optional<net::Address>& peer,
                          const DrawOptions& options);

}  // namespace cs::keyms
