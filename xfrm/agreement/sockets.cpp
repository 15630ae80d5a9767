// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/agreement/sockets.h"

namespace cs::xfrm {

SocketPolicy socket_class(const Policy& policy) noexcept {
  if (policy.action == Action::block) return SocketPolicy::block;
  const Selector& selector = policy.selector;
  const bool all = selector.source.length == 0 && selector.destination.length == 0 &&
                   selector.protocol == 0 && selector.source_ports.mask == 0 &&
                   selector.destination_ports.mask == 0 && selector.interface == 0;
  const bool plain = policy.templates.empty() && policy.mark.mask == 0 &&
                     policy.interface_id == 0 && policy.unknown.empty();
  return all && plain ? SocketPolicy::bypass : SocketPolicy::other;
}

}  // namespace cs::xfrm
