// SPDX-License-Identifier: GPL-3.0-or-later
// Asks the kernel for its IPsec state, in the network namespace of the socket. Needs CAP_NET_ADMIN.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "xfrm/netlink/socket.h"
#include "xfrm/state/model.h"

namespace cs::xfrm {

// More than a gateway has; ends a dump that does not.
inline constexpr std::size_t max_policies = 1'000'000;
inline constexpr std::size_t max_sas = 1'000'000;

Result<netlink::Socket> open_socket();

// One by one, in the kernel's order. The tables may change meanwhile, and the kernel does not tell:
// who needs them whole follows the events (watch/).
Result<void> each_policy(netlink::Socket& socket, const std::function<Result<void>(Policy)>& take);
Result<void> each_sa(netlink::Socket& socket, const std::function<Result<void>(Sa)>& take);

// nullopt: there is none of this name.
Result<std::optional<Sa>> read_sa(netlink::Socket& socket, const SaId& id);
// The same question, for who needs of the answer what the model does not have.
netlink::Request get_sa_request(const SaId& id);

// nullopt: the kernel is too old to have any.
Result<std::optional<Defaults>> read_defaults(netlink::Socket& socket);

// Of all interfaces of the calling thread's network namespace. `root`: where /proc is.
Result<std::vector<InterfaceSwitches>> read_switches(const std::string& root = "");

// All of it. The calling thread must be in the socket's namespace.
Result<State> read_state(netlink::Socket& socket);

}  // namespace cs::xfrm
