// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's state held against the agreement. Pure functions: they ask nobody and wait for
// nothing; what takes too long to compare is a difference (too-many).
#pragma once

#include <optional>
#include <vector>

#include "xfrm/agreement/difference.h"
#include "xfrm/agreement/expected.h"
#include "xfrm/agreement/sockets.h"

namespace cs::xfrm {

// What the state itself cannot tell. Which SAs somebody answers for is watch/reconciler.h's.
struct Known {
  // Socket policies that let everything pass which the IKE daemon and keymsd have: two a socket,
  // for what it sends and for what it gets.
  std::size_t socket_bypasses = 0;
};

// In an order that is the same for the same state: policies, SAs, the rest. Empty: as agreed.
std::vector<Difference> compare(const Expected& expected, const State& state, const Known& known);

}  // namespace cs::xfrm
