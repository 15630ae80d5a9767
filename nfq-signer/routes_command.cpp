// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/routes_command.h"

#include <unistd.h>

#include <ostream>

#include "nfq-signer/privileges.h"
#include "xfrm/route/routes.h"

namespace cs {
namespace {

std::string text_of(std::uint32_t mtu) {
  return mtu == 0 ? "none of its own" : std::to_string(mtu);
}

Result<void> show(const std::string& memory, std::ostream& out) {
  CS_TRY(const auto routes, rt::read_memory(memory));
  for (const rt::Remembered& route : routes) {
    out << route.key.text() << ": MTU " << route.ours[0] << ", before " << text_of(route.original)
        << '\n';
  }
  if (routes.empty()) out << "no route has an MTU of ours\n";
  return {};
}

}  // namespace

Result<void> run_routes(const RoutesRequest& request, std::ostream& out) {
  if (!request.restore) return show(request.memory, out);
  // As the service, so that what is left to put back stays its file.
  CS_CHECK(keep_net_admin_alone(::geteuid() == 0 ? request.user : ""));
  CS_TRY(netlink::Socket socket, netlink::Socket::open());
  CS_TRY(auto routes, rt::InnerRoutes::open(std::move(socket), request.memory));
  const std::size_t count = routes.remembered().size();
  CS_CHECK(routes.restore_all());
  out << "put back: " << count << '\n';
  return {};
}

}  // namespace cs
