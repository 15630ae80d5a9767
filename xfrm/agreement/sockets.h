// SPDX-License-Identifier: GPL-3.0-or-later
// Policies of sockets, which go before all others. The kernel does not say whose they are, so they
// are told apart by what they do.
#pragma once

#include <cstdint>

#include "xfrm/state/model.h"

namespace cs::xfrm {

enum class SocketPolicy : std::uint8_t {
  bypass,  // lets everything pass in clear, as IKE daemons and keymsd need it
  block,
  other,  // narrower, or protected
};
[[nodiscard]] SocketPolicy socket_class(const Policy& policy) noexcept;

}  // namespace cs::xfrm
